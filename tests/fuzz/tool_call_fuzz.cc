// Any answer has a reading: calls whose arguments are JSON objects, and no text
// that is nowhere. In the input, byte 1 is the string marker, 2 begins a
// thought, 3 an answer and 4 a call; other bytes are text.
#include <string>
#include <vector>

#include "kernels/base/check.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/answer_markers.h"
#include "runtime/chat/answer_parser.h"
#include "tests/fuzz/fuzz_target.h"

namespace facet {
namespace {

// Letters and digits survive in any reading, but for "call:" and the values
// that are words: those are not counted.
int64_t CountDigits(const std::string& text) {
  int64_t count = 0;
  for (const char c : text) count += c >= '2' && c <= '9';
  return count;
}

void Check(const std::vector<AnswerEvent>& events, int64_t digits) {
  std::vector<std::string> arguments;
  int ended = 0;
  for (const AnswerEvent& event : events) {
    switch (event.kind) {
      case AnswerEventKind::kCallBegin:
        FACET_CHECK(event.call == static_cast<int>(arguments.size()));
        FACET_CHECK(ended == event.call);
        FACET_CHECK(!event.text.empty());
        arguments.emplace_back();
        digits -= CountDigits(event.text);
        break;
      case AnswerEventKind::kArguments:
        FACET_CHECK(event.call + 1 == static_cast<int>(arguments.size()));
        arguments.back() += event.text;
        break;
      case AnswerEventKind::kCallEnd:
        FACET_CHECK(event.call == ended);
        ++ended;
        break;
      default:
        digits -= CountDigits(event.text);
        break;
    }
  }
  FACET_CHECK(ended == static_cast<int>(arguments.size()));
  for (const std::string& text : arguments) {
    FACET_CHECK(!text.empty() && text.front() == '{' && text.back() == '}');
    FACET_CHECK(nlohmann::json::accept(text));
    digits -= CountDigits(text);
  }
  // Escapes may add some.
  FACET_CHECK(digits <= 0);
}

}  // namespace
}  // namespace facet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  facet::AnswerParser parser;
  std::vector<facet::AnswerEvent> events;
  facet::AnswerPart part{facet::PartKind::kToolCall, "", true};
  int64_t digits = 0;
  const auto flush = [&] {
    if (!part.text.empty()) parser.Push(part, &events);
    digits += facet::CountDigits(part.text);
    part.begins = false;
    part.text.clear();
  };
  for (size_t i = 0; i < size; ++i) {
    if (data[i] < 1 || data[i] > 4) {
      part.text += static_cast<char>(data[i]);
      continue;
    }
    flush();
    if (data[i] == 1) {
      parser.Push({part.kind, facet::kStringMarker, part.begins, true},
                  &events);
      part.begins = false;
    } else {
      part.kind = data[i] == 2   ? facet::PartKind::kThought
                  : data[i] == 3 ? facet::PartKind::kAnswer
                                 : facet::PartKind::kToolCall;
      part.begins = true;
    }
  }
  flush();
  parser.Finish(&events);
  facet::Check(events, digits);
  return 0;
}
