// Runs a fuzz target on every file of a corpus, on prefixes of each, and on
// copies with a few bytes changed, always the same ones.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace {

constexpr int kVariants = 200;  // of each file

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()),
                         input.size());
}

std::string Changed(std::string input, const std::vector<std::string>& corpus,
                    std::mt19937* random) {
  const auto below = [random](size_t n) { return (*random)() % n; };
  for (int i = 1 + below(4); i > 0; --i) {
    const size_t at = below(input.size() + 1);
    switch (below(4)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(below(256));
        break;
      case 1:
        input.erase(at, below(8));
        break;
      case 2:
        input.insert(at, input.substr(below(input.size() + 1), below(16)));
        break;
      case 3: {
        const std::string& other = corpus[below(corpus.size())];
        input.insert(at, other.substr(below(other.size() + 1), below(40)));
        break;
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: replay CORPUS_DIRECTORY\n");
    return 2;
  }
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file),
                        std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no files\n", argv[1]);
    return 1;
  }
  std::mt19937 random(1);
  for (const std::string& input : corpus) {
    Run(input);
    for (int i = 0; i < kVariants; ++i) {
      Run(Changed(input, corpus, &random));
      Run(input.substr(0, random() % (input.size() + 1)));
    }
  }
  std::printf("%zu files, %zu inputs\n", corpus.size(),
              corpus.size() * (1 + 2 * kVariants));
}
