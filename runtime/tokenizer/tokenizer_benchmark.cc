// Prints how long a vocabulary takes to load and how fast it encodes and
// decodes:
//   tokenizer_benchmark [DIRECTORY]
// Without a directory it makes up a vocabulary of Gemma 4's size, 262144
// entries with every split of a piece as a merge.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "runtime/tokenizer/tokenizer.h"

namespace facet {
namespace {

constexpr int kVocabSize = 262144;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

double ResidentMegabytes() {
  std::ifstream file("/proc/self/statm");
  long total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096 / 1e6;
}

// Lower-case syllables in a skewed distribution, so that words repeat as in
// prose.
std::string Word(std::mt19937* random) {
  static constexpr char kConsonants[] = "tnshrdlmwfcgypbvk";
  static constexpr char kVowels[] = "eaoiu";
  const auto skewed = [random](int count) {
    const double u = (*random)() / 4294967296.0;
    return static_cast<int>(count * u * u);
  };
  std::string word;
  for (int syllables = 1 + skewed(4); syllables > 0; --syllables) {
    word += kConsonants[skewed(17)];
    word += kVowels[skewed(5)];
    if (skewed(3) == 1) word += kConsonants[skewed(17)];
  }
  return word;
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else {
      if (c == '"' || c == '\\') escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

std::string SyntheticFile() {
  std::mt19937 random(1);
  std::vector<std::string> spellings = {"<pad>", "<eos>", "<bos>", "<unk>"};
  absl::flat_hash_map<std::string, int> ids;
  const auto add = [&](const std::string& spelling) {
    if (ids.try_emplace(spelling, spellings.size()).second) {
      spellings.push_back(spelling);
    }
  };
  for (int byte = 0; byte < 256; ++byte) {
    char spelling[8];
    std::snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
    add(spelling);
  }
  std::string line, mark;
  for (int i = 0; i < 31; ++i) {
    add(line += "\n");
    add(mark += "\u2581");
  }
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c));
  const size_t first_piece = spellings.size();
  while (spellings.size() < kVocabSize) {
    std::string word = Word(&random);
    if (random() % 2) word = "\u2581" + word;
    if (word.size() > 12) continue;
    for (size_t end = 2; end <= word.size(); ++end) {
      if (static_cast<uint8_t>(word[end - 1]) < 0x80) add(word.substr(0, end));
    }
    for (size_t begin = 1; begin + 1 < word.size(); ++begin) {
      if (static_cast<uint8_t>(word[begin]) < 0x80) add(word.substr(begin));
    }
  }
  spellings.resize(kVocabSize);
  std::string vocab, merges;
  for (int id = 0; id < kVocabSize; ++id) {
    const std::string& spelling = spellings[id];
    absl::StrAppend(&vocab, id ? "," : "", "\"", Escaped(spelling), "\":", id);
    if (id < 260) continue;
    for (size_t cut = 1; cut < spelling.size(); ++cut) {
      const auto left = ids.find(spelling.substr(0, cut));
      const auto right = ids.find(spelling.substr(cut));
      if (left == ids.end() || left->second >= kVocabSize ||
          right == ids.end() || right->second >= kVocabSize) {
        continue;
      }
      absl::StrAppend(&merges, merges.empty() ? "" : ",", "[\"",
                      Escaped(left->first), "\",\"", Escaped(right->first),
                      "\"]");
    }
  }
  std::printf("synthetic vocabulary: %d entries, %zu of them pieces\n",
              kVocabSize, kVocabSize - first_piece);
  return absl::StrCat(
      R"({"added_tokens":[{"id":2,"content":"<bos>","special":true}],)",
      R"("normalizer":{"type":"Replace","pattern":{"String":" "},)",
      "\"content\":\"\u2581\"},",
      R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace",)",
      "\"pattern\":{\"String\":\"\u2581\"},\"content\":\" \"},",
      R"({"type":"ByteFallback"},{"type":"Fuse"}]},)",
      R"("model":{"type":"BPE","byte_fallback":true,"vocab":{)", vocab,
      R"(},"merges":[)", merges, "]}}");
}

std::string Repeat(const std::string& unit) {
  std::string text;
  while (text.size() < 1 << 20) text += unit;
  return text;
}

void Measure(const Tokenizer& tokenizer, const char* name,
             const std::string& text) {
  double encode = 1e9, decode = 1e9;
  std::vector<int32_t> ids;
  for (int run = 0; run < 3; ++run) {
    auto start = std::chrono::steady_clock::now();
    ids = *tokenizer.Encode(text, {});
    encode = std::min(encode, SecondsSince(start));
    start = std::chrono::steady_clock::now();
    if (*tokenizer.Decode(ids, false) != text) std::printf("not the text\n");
    decode = std::min(decode, SecondsSince(start));
  }
  std::printf("%-18s %8zu tokens  encode %7.1f MB/s  decode %7.1f MB/s\n", name,
              ids.size(), text.size() / encode / 1e6,
              text.size() / decode / 1e6);
}

int Run(int argc, char** argv) {
  std::string json;
  if (argc < 2) json = SyntheticFile();
  const double before = ResidentMegabytes();
  const auto start = std::chrono::steady_clock::now();
  auto loaded = argc < 2 ? Tokenizer::Parse(json) : Tokenizer::Load(argv[1]);
  if (!loaded.ok()) {
    std::printf("%s\n", loaded.status().ToString().c_str());
    return 1;
  }
  std::printf("%s: %.1f MB, loaded in %.0f ms, %.0f MB resident\n",
              argc < 2 ? "file" : argv[1], json.size() / 1e6,
              SecondsSince(start) * 1e3, ResidentMegabytes() - before);
  std::mt19937 random(7);
  std::string prose, digits;
  while (prose.size() < 1 << 20) {
    prose += Word(&random) + (random() % 12 ? " " : ".\n");
    digits += absl::StrCat(random(), ", ");
  }
  Measure(**loaded, "prose", prose);
  Measure(**loaded, "numbers", digits);
  Measure(**loaded, "one letter", Repeat("a"));
  Measure(**loaded, "spaces", Repeat(" "));
  Measure(**loaded, "a word unspaced", Repeat("tenshar"));
  Measure(**loaded, "emoji", Repeat("👩‍👩‍👧"));
  Measure(**loaded, "special tokens", Repeat("<bos>"));
  return 0;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) { return facet::Run(argc, argv); }
