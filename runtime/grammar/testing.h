// Helpers for tests of grammars.
#ifndef FACET_RUNTIME_GRAMMAR_TESTING_H_
#define FACET_RUNTIME_GRAMMAR_TESTING_H_

#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/grammar/automaton.h"
#include "runtime/grammar/control_bytes.h"
#include "runtime/grammar/matcher.h"

namespace facet {

// Whether `text` is a whole text of `grammar`. Bytes are handed over one by
// one, as tokens of one byte would.
inline bool Matches(const GrammarPtr& grammar, absl::string_view text) {
  GrammarMatcher matcher(grammar);
  for (size_t i = 0; i < text.size(); ++i) {
    if (!matcher.Accept(text.substr(i, 1)).ok()) return false;
  }
  return matcher.CanEnd();
}

// A random text of `grammar`. After `budget` bytes it takes what closes
// strings and brackets whenever it can; after a hundred times that it stops,
// complete or not.
inline std::string RandomText(const GrammarPtr& grammar, size_t budget,
                              std::mt19937* random) {
  GrammarMatcher matcher(grammar);
  const Automaton& automaton = grammar->automaton();
  std::vector<std::string> bytes_of(automaton.class_byte.size());
  for (int byte = 0; byte < 256; ++byte) {
    bytes_of[automaton.byte_class[byte]].push_back(static_cast<char>(byte));
  }
  std::string text;
  while (!matcher.IsFinished() && text.size() < 100 * budget) {
    const bool late = text.size() > budget;
    if (matcher.CanEnd() && (late || (*random)() % 4 == 0)) break;
    std::string closing, others;
    for (const std::string& bytes : bytes_of) {
      const char c = bytes[(*random)() % bytes.size()];
      GrammarMatcher copy = matcher;
      if (!copy.Accept(absl::string_view(&c, 1)).ok()) continue;
      const bool closes = c == '"' || c == ']' || c == '}' || IsControlByte(c);
      (closes ? closing : others).push_back(c);
    }
    const bool close =
        !closing.empty() &&
        (others.empty() || (late ? (*random)() % 8 : (*random)() % 4 == 0));
    const std::string& from = close ? closing : others;
    if (from.empty()) return "dead end after " + text;
    text.push_back(from[(*random)() % from.size()]);
    if (!matcher.Accept(absl::string_view(&text.back(), 1)).ok()) break;
  }
  return text;
}

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_TESTING_H_
