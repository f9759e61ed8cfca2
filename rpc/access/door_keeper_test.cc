#include "rpc/access/door_keeper.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr char kAlice[] = "Bearer sk-alice-0123456789";
constexpr char kBob[] = "Bearer sk-bob-0123456789ab";

std::string OneKey(const std::string& name, const std::string& key,
                   const std::string& more = "") {
  return "{\"keys\": [{\"name\": \"" + name + "\", \"key\": \"" + key + "\"" +
         more + "}]}";
}

// A file of keys, and what the keeper says of its reloads.
class DoorKeeperTest : public testing::Test {
 protected:
  DoorKeeperTest() : path_(testing::TempDir() + "/keys.json") {
    options_.reload_interval = absl::Milliseconds(5);
    options_.on_reload = [this](const absl::Status& status) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (next_.has_value()) next_->set_value(status);
      next_.reset();
    };
  }

  void Write(const std::string& text) {
    const std::string temporary = path_ + ".new";
    std::ofstream(temporary) << text;
    ASSERT_EQ(std::rename(temporary.c_str(), path_.c_str()), 0);
  }

  // Writes and waits until the keeper has seen it.
  absl::Status Replace(const std::string& text) {
    std::future<absl::Status> seen;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      next_.emplace();
      seen = next_->get_future();
    }
    Write(text);
    return seen.get();
  }

  const std::string path_;
  DoorKeeperOptions options_;
  std::mutex mutex_;
  std::optional<std::promise<absl::Status>> next_;
};

TEST_F(DoorKeeperTest, OnlyKnownKeysComeIn) {
  Write(OneKey("alice", "sk-alice-0123456789"));
  const auto keeper = DoorKeeper::Open(path_, options_);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  const auto pass = (*keeper)->Admit(kAlice, absl::Now());
  ASSERT_TRUE(pass.ok()) << pass.status();
  EXPECT_EQ((*pass)->key_name(), "alice");
  EXPECT_TRUE((*keeper)->Check("bearer sk-alice-0123456789 ").ok());
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "sk-alice-0123456789", kBob,
        "Basic sk-alice-0123456789", "Bearer sk-alice-0123456789x"}) {
    EXPECT_EQ((*keeper)->Admit(wrong, absl::Now()).status().code(),
              absl::StatusCode::kUnauthenticated)
        << wrong;
    EXPECT_EQ((*keeper)->Check(wrong).code(),
              absl::StatusCode::kUnauthenticated)
        << wrong;
  }
}

TEST_F(DoorKeeperTest, ARunningRequestCountsUntilItsPassIsGone) {
  Write(OneKey("alice", "sk-alice-0123456789", ", \"concurrent_requests\": 1"));
  auto keeper = DoorKeeper::Open(path_, options_);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  auto pass = (*keeper)->Admit(kAlice, absl::Now());
  ASSERT_TRUE(pass.ok());
  EXPECT_EQ((*keeper)->Admit(kAlice, absl::Now()).status().code(),
            absl::StatusCode::kResourceExhausted);
  *pass = nullptr;
  pass = (*keeper)->Admit(kAlice, absl::Now());
  EXPECT_TRUE(pass.ok());
  keeper->reset();  // the pass may live on
}

TEST_F(DoorKeeperTest, ANewFileCountsFromThenOnAndABrokenOneDoesNot) {
  Write(OneKey("alice", "sk-alice-0123456789"));
  const auto keeper = DoorKeeper::Open(path_, options_);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  EXPECT_FALSE(Replace("{").ok());
  EXPECT_TRUE((*keeper)->Check(kAlice).ok());
  EXPECT_TRUE(Replace(OneKey("bob", "sk-bob-0123456789ab")).ok());
  EXPECT_FALSE((*keeper)->Check(kAlice).ok());
  EXPECT_TRUE((*keeper)->Check(kBob).ok());
}

TEST_F(DoorKeeperTest, AFileThatIsMissingOrBrokenAtTheStartIsRefused) {
  options_.on_reload = nullptr;
  EXPECT_EQ(DoorKeeper::Open(path_ + "-none", options_).status().code(),
            absl::StatusCode::kNotFound);
  Write("{\"keys\": [{}]}");
  const absl::Status status = DoorKeeper::Open(path_, options_).status();
  EXPECT_NE(std::string(status.message()).find(path_), std::string::npos)
      << status;
}

}  // namespace
}  // namespace facet
