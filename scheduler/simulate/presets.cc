// Sizes of the published models, held to their configs by a test, and rates of
// machines.
#include <iterator>

#include "absl/strings/str_cat.h"
#include "scheduler/simulate/step_cost.h"

namespace facet {
namespace {

const ModelFigures kModels[] = {
    {"e2b", 4559518278, 0, 0, 0, 3754208838, 805309440, 229376, 114688, 12288,
     6144, 512, 262144, 131072},
    {"e4b", 9288882260, 0, 0, 0, 7946699860, 1342182400, 286720, 114688, 40960,
     16384, 512, 262144, 131072},
    {"26b-a4b", 4790313020, 356843520, 128, 8, 6168660540, 1476400640, 409600,
     163840, 204800, 20480, 1024, 262144, 262144},
    {"31b", 61394690680, 0, 0, 0, 58576107640, 2818583040, 1638400, 655360,
     819200, 81920, 1024, 262144, 262144},
    {"120b-a15b", 19805586784, 1207959552, 184, 8, 27321771360, 2147491840,
     1310720, 524288, 655360, 65536, 1024, 262144, 262144},
};

const MachineFigures kMachines[] = {
    // Two cores of a Zen 4 server: docs/performance.md's limits times the
    // fractions of them that decode and prefill reach.
    {"cpu-2core", 16e9, 25.6e9, 191e9, 200e-6, 5e-6, 200e-6},
    // Data sheet figures times a fraction that good kernels reach (0.8 of the
    // memory's, 0.6 of the dense bf16 rate); overheads are estimates.
    {"h100", 80e9, 2.68e12, 593e12, 500e-6, 2e-6, 300e-6},
    {"h200", 141e9, 3.84e12, 593e12, 500e-6, 2e-6, 300e-6},
};

template <typename Figures, size_t n>
absl::StatusOr<Figures> Find(const Figures (&presets)[n], const char* what,
                             const std::string& name) {
  std::string known;
  for (const Figures& preset : presets) {
    if (preset.name == name) return preset;
    absl::StrAppend(&known, known.empty() ? "" : ", ", preset.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no ", what, " \"", name, "\", known are ", known));
}

}  // namespace

absl::StatusOr<ModelFigures> ModelPreset(const std::string& name) {
  return Find(kModels, "model", name);
}

absl::StatusOr<MachineFigures> MachinePreset(const std::string& name) {
  return Find(kMachines, "machine", name);
}

}  // namespace facet
