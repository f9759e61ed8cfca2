#include "rpc/cli/group_environment.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace facet {
namespace {

class GroupEnvironmentTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name :
         {"LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX"}) {
      unsetenv(name);
    }
  }
  static void Set(const char* leader, const char* size, const char* index) {
    setenv("LWS_LEADER_ADDRESS", leader, 1);
    setenv("LWS_GROUP_SIZE", size, 1);
    setenv("LWS_WORKER_INDEX", index, 1);
  }
};

TEST_F(GroupEnvironmentTest, TellsThePodsPlace) {
  Set("facet-1.facet.facet", "2", "1");
  const auto group = ReadGroupEnvironment();
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->leader, "facet-1.facet.facet");
  EXPECT_EQ(group->size, 2);
  EXPECT_EQ(group->worker_index, 1);
}

TEST_F(GroupEnvironmentTest, IsNotFoundOutsideAGroup) {
  EXPECT_EQ(ReadGroupEnvironment().status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(GroupEnvironmentTest, RefusesWhatMakesNoSenseByName) {
  Set("facet-0.facet", "two", "0");
  EXPECT_NE(ReadGroupEnvironment().status().message().find("LWS_GROUP_SIZE"),
            absl::string_view::npos);
  Set("facet-0.facet", "2", "2");
  EXPECT_NE(ReadGroupEnvironment().status().message().find("LWS_WORKER_INDEX"),
            absl::string_view::npos);
  Set("facet-0.facet", "0", "0");
  EXPECT_EQ(ReadGroupEnvironment().status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace facet
