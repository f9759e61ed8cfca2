#include "runtime/checkpoint/touch_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/checkpoint/mapped_file.h"

namespace facet {
namespace {

class TouchPagesTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/touched";
    std::ofstream(path_, std::ios::binary) << std::string(kBytes, 'x');
    auto file = MappedFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    begin_ = reinterpret_cast<uintptr_t>(file_->bytes().data());
  }

  static constexpr size_t kBytes = (3 << 20) + 17;
  std::string path_;
  std::unique_ptr<MappedFile> file_;
  uintptr_t begin_ = 0;
};

TEST_F(TouchPagesTest, TouchedPagesAreResident) {
  EXPECT_EQ(TouchPages(begin_, begin_ + kBytes), 0);
  const size_t page = sysconf(_SC_PAGESIZE);
  std::vector<unsigned char> resident((kBytes + page - 1) / page);
  ASSERT_EQ(mincore(reinterpret_cast<void*>(begin_), kBytes, resident.data()),
            0);
  for (const unsigned char state : resident) ASSERT_TRUE(state & 1);
  EXPECT_EQ(TouchPages(begin_, begin_), 0);
}

TEST_F(TouchPagesTest, AFileThatBecameShorterIsAnErrorAndNoSignal) {
  std::filesystem::resize_file(path_, 1 << 20);
  EXPECT_EQ(TouchPages(begin_, begin_ + (1 << 20)), 0);
  EXPECT_EQ(TouchPages(begin_, begin_ + kBytes), EFAULT);
  EXPECT_EQ(TouchPages(begin_ + (2 << 20), begin_ + kBytes), EFAULT);
}

}  // namespace
}  // namespace facet
