#include "runtime/comm/shm_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "gtest/gtest.h"
#include "runtime/comm/random_name.h"

namespace facet {
namespace {

std::string FreshName() { return ShmName(RandomName(), 0); }

TEST(ShmRegionTest, EveryPairHasARingOfItsOwn) {
  const std::string name = FreshName();
  const auto created = ShmRegion::Create(name, 3);
  ASSERT_TRUE(created.ok()) << created.status();
  const auto opened = ShmRegion::Open(name, 3);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int from = 0; from < 3; ++from) {
    for (int to = 0; to < 3; ++to) {
      if (from == to) continue;
      RingWriter writer = (*created)->writer(from, to);
      const auto free = writer.Free(1 << 10);
      ASSERT_GE(free.size(), size_t{16} << 10);
      std::memset(free.data(), 10 * from + to, free.size());
      writer.Publish(free.size());
    }
  }
  for (int from = 0; from < 3; ++from) {
    for (int to = 0; to < 3; ++to) {
      if (from == to) continue;
      RingReader reader = (*opened)->reader(from, to);
      const auto ready = reader.Available();
      ASSERT_FALSE(ready.empty());
      EXPECT_EQ(ready.front(), 10 * from + to);
      EXPECT_EQ(ready.back(), 10 * from + to);
    }
  }
}

TEST(ShmRegionTest, NameIsGoneAfterUnlinkAndMemoryStays) {
  const std::string name = FreshName();
  const auto created = ShmRegion::Create(name, 2);
  ASSERT_TRUE(created.ok()) << created.status();
  (*created)->Unlink();
  EXPECT_TRUE(absl::IsNotFound(ShmRegion::Open(name, 2).status()));
  (*created)->doorbell(1)->RingIfAsleep();
}

TEST(ShmRegionTest, NameInUseIsRefused) {
  const std::string name = FreshName();
  const auto created = ShmRegion::Create(name, 2);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(absl::IsAlreadyExists(ShmRegion::Create(name, 2).status()));
  // And the failed attempt has not removed it.
  EXPECT_TRUE(ShmRegion::Open(name, 2).ok());
}

TEST(ShmRegionTest, MemoryOfAnotherSizeOrOpenToOthersIsRefused) {
  const std::string name = FreshName();
  const auto created = ShmRegion::Create(name, 2);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(absl::IsInternal(ShmRegion::Open(name, 3).status()));

  const int fd = shm_open(name.c_str(), O_RDWR, 0);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(fchmod(fd, 0666), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ShmRegion::Open(name, 2).status()));
  close(fd);
}

TEST(ShmRegionTest, NameTellsNothingAboutTheKey) {
  EXPECT_NE(ShmName("a", 0), ShmName("b", 0));
  EXPECT_NE(ShmName("a", 0), ShmName("a", 4));
  EXPECT_EQ(ShmName("secret", 0).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace facet
