#include "rpc/convert/control_activity_convert.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_checks.h"

namespace facet {
namespace {

constexpr size_t kMaxOperation = 128;
constexpr size_t kMaxCalls = 2048;
constexpr int64_t kMaxMilliseconds = int64_t{1} << 42;  // a century
constexpr int kMaxLayers = 1 << 16;

int64_t Milliseconds(absl::Duration duration) {
  return std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 0,
                             kMaxMilliseconds);
}

absl::Status CheckMilliseconds(int64_t value, const char* field) {
  return CheckField(value >= 0 && value <= kMaxMilliseconds, field, value,
                    "0 to 2^42");
}

absl::Status CheckText(const std::string& text, size_t most,
                       const char* field) {
  if (text.size() > most) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " has ", text.size(), " bytes, at most ", most));
  }
  for (const char c : text) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) continue;
    return CheckField(false, field, static_cast<unsigned char>(c),
                      "printable ASCII");
  }
  return absl::OkStatus();
}

}  // namespace

void FillActivity(const RankActivity& in, v1::Activity& out) {
  out.set_running(in.running);
  out.set_step(in.step);
  out.set_since_ms(Milliseconds(in.since));
  if (in.layer >= 0) out.set_layer(in.layer);
  out.set_operation(in.operation.substr(0, kMaxOperation));
  if (in.waits_for >= 0) out.set_waits_for(in.waits_for);
  out.set_waits_ms(Milliseconds(in.waits));
  out.set_moves(in.moves);
  out.set_calls(in.calls.substr(0, kMaxCalls));
}

absl::StatusOr<RankActivity> ParseActivity(const v1::Activity& in) {
  RankActivity out;
  out.running = in.running();
  out.step = in.step();
  FACET_RETURN_IF_ERROR(CheckMilliseconds(in.since_ms(), "since_ms"));
  out.since = absl::Milliseconds(in.since_ms());
  if (in.has_layer()) {
    FACET_RETURN_IF_ERROR(CheckField(in.layer() >= 0 && in.layer() < kMaxLayers,
                                     "layer", in.layer(), "0 to 65535"));
    out.layer = in.layer();
  }
  FACET_RETURN_IF_ERROR(CheckText(in.operation(), kMaxOperation, "operation"));
  out.operation = in.operation();
  if (in.has_waits_for()) {
    FACET_RETURN_IF_ERROR(
        CheckField(in.waits_for() >= 0 && in.waits_for() < kMaxWorldSize,
                   "waits_for", in.waits_for(), "0 to 65535"));
    out.waits_for = in.waits_for();
  }
  FACET_RETURN_IF_ERROR(CheckMilliseconds(in.waits_ms(), "waits_ms"));
  out.waits = absl::Milliseconds(in.waits_ms());
  out.moves = in.moves();
  FACET_RETURN_IF_ERROR(CheckText(in.calls(), kMaxCalls, "calls"));
  out.calls = in.calls();
  return out;
}

}  // namespace facet
