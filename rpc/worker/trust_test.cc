// Who gets through to the control plane, by certificates of real authorities.
#include "rpc/control/trust.h"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "rpc/control/control_server.h"
#include "rpc/worker/coordinator_link.h"

namespace facet {
namespace {

// Lets everybody join who comes so far.
class Host : public WorkerEvents {
 public:
  absl::StatusOr<int> OnRegister(WorkerRegistration,
                                 std::shared_ptr<WorkerLink> link) override {
    link->Send(WorkerShutdown{"welcome"});
    return 0;
  }
  void OnMessage(int, WorkerMessage) override {}
  void OnGone(int, const absl::Status&) override {}
};

class TrustTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* authority : {"ours", "theirs"}) {
      const std::string command =
          absl::StrCat("deploy/certificates/make_certificates.sh ",
                       Folder(authority), " >/dev/null 2>&1");
      ASSERT_EQ(std::system(command.c_str()), 0);
    }
  }
  static std::string Folder(const std::string& authority) {
    return absl::StrCat(testing::TempDir(), "/", authority);
  }
  static TrustFiles Files(const std::string& authority,
                          const std::string& role) {
    const std::string folder = Folder(authority);
    return {folder + "/ca.crt", absl::StrCat(folder, "/", role, ".crt"),
            absl::StrCat(folder, "/", role, ".key")};
  }

  // Whether a worker with `worker` is heard by a coordinator with
  // `coordinator`.
  static absl::Status Join(const TrustFiles& coordinator,
                           const TrustFiles& worker) {
    Host host;
    const auto server = ControlServer::Start("127.0.0.1:0", &host, coordinator);
    if (!server.ok()) return server.status();
    const auto link = ConnectToCoordinator((*server)->address(), worker,
                                           absl::Now() + absl::Seconds(2),
                                           [] { return false; });
    if (!link.ok()) return link.status();
    (*link)->Send(WorkerRegistration());
    const absl::Status heard = (*link)->Read().status();
    (*link)->Cancel();
    return heard;
  }
};

TEST_F(TrustTest, CertificatesOfOneAuthorityLetAWorkerIn) {
  const absl::Status status =
      Join(Files("ours", "coordinator"), Files("ours", "worker"));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Join({}, {}).ok());
}

TEST_F(TrustTest, AWorkerWithoutACertificateOfTheAuthorityIsNotHeard) {
  const TrustFiles coordinator = Files("ours", "coordinator");
  EXPECT_FALSE(Join(coordinator, {}).ok());
  TrustFiles forged = Files("theirs", "worker");
  EXPECT_FALSE(Join(coordinator, forged).ok());
  forged.authority = Files("ours", "worker").authority;
  EXPECT_FALSE(Join(coordinator, forged).ok());
}

TEST_F(TrustTest, AWorkerTalksToItsCoordinatorAlone) {
  const TrustFiles worker = Files("ours", "worker");
  EXPECT_FALSE(Join({}, worker).ok());
  EXPECT_FALSE(Join(Files("theirs", "coordinator"), worker).ok());
  // The key of another worker does not make a coordinator.
  EXPECT_FALSE(Join(worker, worker).ok());
}

TEST_F(TrustTest, AMissingFileIsNamed) {
  TrustFiles files = Files("ours", "coordinator");
  files.key = "/no/such/key";
  EXPECT_EQ(Join(files, {}).code(), absl::StatusCode::kNotFound);
  files.key = "";
  EXPECT_EQ(Join(files, {}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace facet
