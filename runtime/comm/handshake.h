// How two ranks prove to each other that they know the world key, before a
// connection carries anything else. Pure bytes; connect_mesh.h moves them.
//
//   connecting rank                       accepting rank
//        | Hello (who, to whom, nonce) ------->  |
//        | <------- Challenge (nonce, MAC)       |   MAC over Hello and nonce
//        | Proof (MAC) ----------------------->  |   MAC over Hello, Challenge
//        | <------- Welcome (one byte)           |
//
// The MACs are HMAC-SHA256 with different labels, so neither can be replayed as
// the other. What follows on the connection is neither encrypted nor signed.
#ifndef FACET_RUNTIME_COMM_HANDSHAKE_H_
#define FACET_RUNTIME_COMM_HANDSHAKE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace facet {

inline constexpr size_t kNonceBytes = 16;
inline constexpr size_t kMacBytes = 32;
inline constexpr uint8_t kWelcome = 0x57;

using Nonce = std::array<uint8_t, kNonceBytes>;
using Mac = std::array<uint8_t, kMacBytes>;

// Two ranks have a control connection (see control_channel.h) and, where they
// don't share memory, one for data.
enum class Channel : uint32_t { kControl = 0, kData = 1 };

// The structs are the wire format: little-endian, without padding.
struct Hello {
  static constexpr uint32_t kMagic = 0x31434346;  // "FCC1": protocol version 1

  uint32_t magic = kMagic;
  uint32_t world_size = 0;
  uint32_t from = 0;
  uint32_t to = 0;
  Channel channel = Channel::kControl;
  uint32_t reserved = 0;
  Nonce nonce = {};
};
static_assert(sizeof(Hello) == 40);

struct Challenge {
  Nonce nonce = {};
  Mac mac = {};
};
static_assert(sizeof(Challenge) == 48);

// Errors:
//   INTERNAL  the system has no random numbers
absl::StatusOr<Nonce> RandomNonce();

Mac AcceptorMac(const std::string& world_key, const Hello& hello,
                const Nonce& acceptor_nonce);
Mac ConnectorMac(const std::string& world_key, const Hello& hello,
                 const Nonce& acceptor_nonce);

// Takes the same time wherever they differ.
bool SameMac(const Mac& a, const Mac& b);

}  // namespace facet

#endif  // FACET_RUNTIME_COMM_HANDSHAKE_H_
