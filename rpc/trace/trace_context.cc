#include "rpc/trace/trace_context.h"

#include <cstdint>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet {
namespace {

constexpr size_t kTraceDigits = 32;
constexpr size_t kSpanDigits = 16;
constexpr size_t kHeaderBytes = 2 + 1 + kTraceDigits + 1 + kSpanDigits + 1 + 2;

bool IsHex(absl::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

// Ids of zeros alone mean none.
bool IsId(absl::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != absl::string_view::npos;
}

std::string RandomDigits() {
  std::random_device device;
  uint64_t value = 0;
  while (value == 0) value = uint64_t{device()} << 32 | device();
  return absl::StrFormat("%016x", value);
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(absl::string_view header) {
  if (header.size() < kHeaderBytes || header[2] != '-' ||
      header[3 + kTraceDigits] != '-' ||
      header[4 + kTraceDigits + kSpanDigits] != '-') {
    return std::nullopt;
  }
  const absl::string_view version = header.substr(0, 2);
  const absl::string_view trace = header.substr(3, kTraceDigits);
  const absl::string_view span = header.substr(4 + kTraceDigits, kSpanDigits);
  const absl::string_view flags =
      header.substr(5 + kTraceDigits + kSpanDigits, 2);
  if (!IsHex(version) || version == "ff" || !IsId(trace) || !IsId(span) ||
      !IsHex(flags)) {
    return std::nullopt;
  }
  const absl::string_view rest = header.substr(kHeaderBytes);
  if (version == "00" ? !rest.empty()
                      : !rest.empty() && !absl::StartsWith(rest, "-")) {
    return std::nullopt;
  }
  TraceContext context;
  context.trace_id = std::string(trace);
  context.span_id = std::string(span);
  const char low = flags[1];
  const int digit = low <= '9' ? low - '0' : low - 'a' + 10;
  context.sampled = (digit & 1) != 0;
  return context;
}

std::string FormatTraceParent(const TraceContext& context) {
  return absl::StrCat("00-", context.trace_id, "-", context.span_id,
                      context.sampled ? "-01" : "-00");
}

TraceContext NewSpan(const std::optional<TraceContext>& parent) {
  TraceContext context;
  if (parent.has_value()) {
    context = *parent;
  } else {
    context.trace_id = RandomDigits() + RandomDigits();
  }
  context.span_id = RandomDigits();
  return context;
}

}  // namespace facet
