// Prints how long grammars take to compile, and masks to compute:
//   grammar_benchmark [--once] [DIRECTORY]
// Masks are taken in every state of one sample answer, over the vocabulary of
// the model in DIRECTORY (deploy/demo-model if none is given) and over a made
// up one of Gemma 4's size, 262144 tokens.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/token_masks.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

double MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start)
      .count();
}

// Words of several scripts, with and without a space in front, punctuation as
// code and JSON have it, runs of white space, and every single byte.
std::shared_ptr<const TokenTrie> SyntheticTrie() {
  constexpr size_t kTokens = 262144;
  std::mt19937 random(1);
  std::vector<std::string> tokens = {"", ""};  // two stop ids
  absl::flat_hash_set<std::string> known;
  const auto add = [&](const std::string& token) {
    if (known.insert(token).second) tokens.push_back(token);
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, byte));
  for (int i = 2; i < 32; ++i) {
    add(std::string(i, ' '));
    add(std::string(i, '\n'));
  }
  const char* const marks[] = {"\"", "{", "}", "[", "]", ":", ",", "\\", "n",
                               " ",  "(", ")", "1", "0", "-", "/", ".",  "\n"};
  for (int i = 0; i < 6000; ++i) {
    std::string token;
    for (int length = 2 + random() % 4; length > 0; --length) {
      token += marks[random() % 18];
    }
    add(token);
  }
  const std::vector<std::string> scripts[] = {
      {"a", "b", "c", "d", "e", "g", "h", "i", "l", "m", "n", "o", "p", "r",
       "s", "t", "u", "w", "y"},
      {"а", "в", "д", "е", "и", "к", "л", "н", "о", "р", "с", "т"},
      {"中", "文", "字", "日", "本", "語", "的", "是", "不", "人", "有", "大"},
      {"א", "ב", "ל", "מ", "ר", "ש"}};
  while (tokens.size() < kTokens) {
    const auto& letters = scripts[random() % 8 < 5 ? 0 : random() % 4];
    std::string token = random() % 2 ? " " : "";
    for (int length = 1 + random() % 8; length > 0; --length) {
      token += letters[random() % letters.size()];
    }
    add(token);
  }
  return std::make_shared<const TokenTrie>(tokens, std::vector<int32_t>{0, 1});
}

struct Sample {
  const char* name;
  GrammarPtr grammar;
  std::string text;
};

GrammarPtr Compiled(const char* name, absl::StatusOr<GrammarPtr> (*compile)(),
                    int repeats) {
  double best = 1e18;
  GrammarPtr grammar;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    absl::StatusOr<GrammarPtr> compiled = compile();
    best = std::min(best, MicrosecondsSince(start));
    if (!compiled.ok()) {
      std::printf("%s: %s\n", name, compiled.status().ToString().c_str());
      return nullptr;
    }
    grammar = *std::move(compiled);
  }
  std::printf("compile %-14s %8.0f us  %6.1f kB\n", name, best,
              grammar->bytes() / 1e3);
  return grammar;
}

absl::StatusOr<GrammarPtr> Schema() {
  return CompileJsonSchema(R"({"type":"object","properties":{
      "name":{"type":"string","maxLength":200},
      "born":{"type":"string","format":"date"},
      "mail":{"type":"string","format":"email"},
      "size":{"type":"number","minimum":0,"maximum":300},
      "tags":{"type":"array","items":{"type":"string"},"maxItems":10},
      "home":{"$ref":"#/$defs/place"},"work":{"$ref":"#/$defs/place"}},
      "required":["name","born","tags"],"$defs":{"place":{"type":"object",
      "properties":{"city":{"type":"string"},"kind":{"enum":["flat","house"]},
      "zip":{"type":"string","pattern":"^\\d{5}$"}},"required":["city"]}}})",
                           {});
}

absl::StatusOr<GrammarPtr> WideSchema() {
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < 500; ++i) {
    absl::StrAppend(&schema, i ? "," : "", "\"property_", i,
                    R"(":{"type":"string"})");
  }
  return CompileJsonSchema(absl::StrCat(schema, "}}"), {});
}

absl::StatusOr<GrammarPtr> AnyJson() { return CompileJsonObject(); }

absl::StatusOr<GrammarPtr> Regex() {
  return CompileRegex("[A-Z][a-z ]{10,400}\\.", {});
}

absl::StatusOr<GrammarPtr> Arithmetic() {
  return CompileEbnf(
      "root ::= sum\nsum ::= product ([+-] product)*\n"
      "product ::= value ([*/] value)*\n"
      "value ::= [0-9]+ | [a-z]+ | \"(\" sum \")\"\n",
      {});
}

// In steps of three bytes, about what a token is.
void MeasureMasks(const Sample& sample,
                  const std::shared_ptr<const TokenTrie>& trie, int repeats) {
  double sum = 0, worst = 0, cached = 0, accept = 0;
  int states = 0;
  std::string worst_state;
  MaskCache cache(trie, int64_t{256} << 20);
  GrammarMatcher matcher(sample.grammar);
  for (size_t at = 0; at < sample.text.size(); at += 3, ++states) {
    double best = 1e18;
    for (int i = 0; i < repeats; ++i) {
      const auto start = Clock::now();
      if (!ComputeTokenMask(*trie, matcher).ok()) return;
      best = std::min(best, MicrosecondsSince(start));
    }
    sum += best;
    if (best > worst) {
      worst = best;
      worst_state = sample.text.substr(0, at);
    }
    if (!cache.MaskFor(matcher).ok()) return;
    auto start = Clock::now();
    if (!cache.MaskFor(matcher).ok()) return;
    cached += MicrosecondsSince(start);
    start = Clock::now();
    if (!matcher.Accept(sample.text.substr(at, 3)).ok()) {
      std::printf("%s: refused at %zu\n", sample.name, at);
      return;
    }
    accept += MicrosecondsSince(start);
  }
  std::printf(
      "masks   %-14s %8.0f us mean  %8.0f us worst  %6.2f us cached  %6.2f us "
      "accept  (%d states; worst after ...%s)\n",
      sample.name, sum / states, worst, cached / states, accept / states,
      states,
      worst_state
          .substr(worst_state.size() - std::min<size_t>(worst_state.size(), 12))
          .c_str());
}

int Run(int argc, char** argv) {
  int repeats = 5;
  std::string directory = "deploy/demo-model";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--once") == 0) {
      repeats = 1;
    } else {
      directory = argv[i];
    }
  }
  const std::string answer =
      R"({"name": "Ada Lovelace", "born": "1815-12-10", "mail":)"
      R"( "ada@example.org", "size": 170.5, "tags": ["maths", "engines"],)"
      R"( "home": {"city": "London", "kind": "house", "zip": "12345"}})";
  const std::vector<Sample> samples = {
      {"schema", Compiled("schema", Schema, repeats), answer},
      {"500 properties", Compiled("500 properties", WideSchema, repeats),
       R"({"property_7": "some text", "property_444": "some more"})"},
      {"any object", Compiled("any object", AnyJson, repeats), answer},
      {"regex", Compiled("regex", Regex, repeats),
       "The quick brown fox jumps over the lazy dog."},
      {"arithmetic", Compiled("arithmetic", Arithmetic, repeats),
       "(1+xyz)*(23-(4/abc))"},
  };
  const auto tokenizer = Tokenizer::Load(directory);
  if (!tokenizer.ok()) {
    std::printf("%s\n", tokenizer.status().ToString().c_str());
    return 1;
  }
  for (const bool synthetic : {false, true}) {
    const auto start = Clock::now();
    const std::shared_ptr<const TokenTrie> trie =
        synthetic ? SyntheticTrie() : TokenTrie::ForTokenizer(**tokenizer, {1});
    std::printf("%s: %lld tokens, %zu trie nodes, built in %.0f ms\n",
                synthetic ? "synthetic" : directory.c_str(),
                static_cast<long long>(trie->vocab_size()),
                trie->nodes().size(), MicrosecondsSince(start) / 1e3);
    for (const Sample& sample : samples) {
      if (sample.grammar == nullptr) return 1;
      MeasureMasks(sample, trie, repeats);
    }
  }
  return 0;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) { return facet::Run(argc, argv); }
