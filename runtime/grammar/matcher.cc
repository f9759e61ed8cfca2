#include "runtime/grammar/matcher.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace facet {

GrammarMatcher::GrammarMatcher(GrammarPtr grammar)
    : grammar_(std::move(grammar)) {
  readings_ = ReadingsStepper(grammar_->automaton(), &stacks_).Start();
  Canonicalize(kUnbounded, &stacks_, &readings_);
}

absl::Status GrammarMatcher::Accept(absl::string_view bytes) {
  StackPool stacks = stacks_;
  Readings readings = readings_;
  ReadingsStepper stepper(grammar_->automaton(), &stacks);
  for (size_t i = 0; i < bytes.size(); ++i) {
    readings = stepper.Step(readings.configs, static_cast<uint8_t>(bytes[i]));
    if (stepper.overflow()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the grammar is too ambiguous: more than ",
          grammar_->automaton().limits.max_readings,
          " readings of one text; rewrite it so that repeated parts cannot "
          "match the same text in several ways"));
    }
    if (readings.dead()) {
      return absl::InvalidArgumentError(
          absl::StrCat("byte ", i, " of ", bytes.size(),
                       " does not continue a text of the grammar"));
    }
  }
  Canonicalize(kUnbounded, &stacks, &readings);
  stacks_ = std::move(stacks);
  readings_ = std::move(readings);
  return absl::OkStatus();
}

std::string GrammarMatcher::StateKey(int horizon) const {
  StackPool stacks = stacks_;
  Readings readings = readings_;
  Canonicalize(horizon, &stacks, &readings);
  std::string key(1, readings.can_end ? '1' : '0');
  const auto append = [&key](int32_t value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    key.append(bytes, sizeof value);
  };
  append(static_cast<int32_t>(readings.configs.size()));
  for (const Config& config : readings.configs) {
    append(config.state);
    append(config.stack);
  }
  for (const Frame& frame : stacks) {
    append(frame.parent);
    append(frame.state);
    append(frame.need);
    append(frame.room);
  }
  return key;
}

}  // namespace facet
