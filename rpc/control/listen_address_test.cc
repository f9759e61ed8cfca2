#include "rpc/control/listen_address.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(ListenAddressTest, AddressesReadBackAsTheyWereWritten) {
  for (const char* address :
       {"127.0.0.1:8002", "[::1]:0", "localhost:80", "0.0.0.0:65535"}) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(ToString(*parsed), address);
  }
}

TEST(ListenAddressTest, MalformedAddressesAreRefused) {
  for (const char* address :
       {"", "localhost", ":80", "host:", "host:x", "host:-1", "host:65536",
        "::1:80", "[]:80", "[::1:80"}) {
    EXPECT_EQ(ParseHostPort(address).status().code(),
              absl::StatusCode::kInvalidArgument)
        << address;
  }
}

TEST(ListenAddressTest, UnknownHostsAreRefusedByName) {
  const absl::Status status = CheckCanListen("no.such.host.invalid:80");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(CheckCanListen("127.0.0.1:0").ok());
}

}  // namespace
}  // namespace facet
