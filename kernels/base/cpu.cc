#include "kernels/base/cpu.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"

namespace facet {
namespace {

constexpr Isa kBestFirst[] = {Isa::kAvx512Bf16, Isa::kAvx512, Isa::kAvx2,
                              Isa::kReference};

absl::StatusOr<Isa> FromEnvironment() {
  const char* name = std::getenv("FACET_ISA");
  if (name == nullptr || *name == '\0') return BestIsa();
  for (Isa isa : kBestFirst) {
    if (std::string(name) != Name(isa)) continue;
    if (isa <= BestIsa()) return isa;
    return absl::InvalidArgumentError(
        absl::StrCat("FACET_ISA=", name, ": this machine has only ",
                     Name(BestIsa()), "; unset FACET_ISA or choose that"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("FACET_ISA=", name,
                   ": unknown; choose reference, avx2, avx512 or avx512bf16"));
}

Isa& ActiveSlot() {
  static Isa isa = FromEnvironment().value_or(BestIsa());
  return isa;
}

}  // namespace

const char* Name(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
  }
  return "?";
}

Isa BestIsa() {
  static const Isa best = [] {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2")) {
      return Isa::kReference;
    }
    if (!__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl")) {
      return Isa::kAvx2;
    }
    return __builtin_cpu_supports("avx512bf16") ? Isa::kAvx512Bf16
                                                : Isa::kAvx512;
  }();
  return best;
}

absl::Span<const Isa> SupportedIsas() {
  const Isa* first =
      std::find(std::begin(kBestFirst), std::end(kBestFirst), BestIsa());
  return absl::MakeConstSpan(first, std::end(kBestFirst) - first);
}

absl::StatusOr<Isa> ActiveIsaStatus() { return FromEnvironment(); }

Isa ActiveIsa() { return ActiveSlot(); }

void SetActiveIsaForTest(Isa isa) {
  FACET_CHECK(isa <= BestIsa());
  ActiveSlot() = isa;
}

}  // namespace facet
