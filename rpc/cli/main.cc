// The facet command: `facet VERB FLAGS`.
#include <clocale>
#include <cstdio>
#include <cstring>
#include <string>

#include "rpc/cli/verb.h"
#include "rpc/convert/quiet_protobuf.h"

namespace facet {
namespace {

void PrintHelp(FILE* out) {
  std::fputs(
      "Facet serves Gemma 4 across the machines you have.\n\n"
      "Usage: facet VERB [FLAGS]\n\n",
      out);
  for (const Verb& verb : Verbs()) {
    std::fprintf(out, "  %-10s %s\n", verb.name, verb.summary);
  }
  std::fputs(
      "\nExamples:\n"
      "  facet chat --model DIR\n"
      "  facet generate --model DIR --prompt=\"Hello\" --max-tokens=50\n"
      "  facet serve --model DIR --workers=2\n"
      "  facet chat --server=127.0.0.1:8001\n\n"
      "`facet VERB --help` explains a verb. DIR is a checkpoint as Hugging "
      "Face\npublishes it. Exit codes: 0 done, 1 failed, 2 bad usage or bad "
      "input.\n",
      out);
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    PrintHelp(stderr);
    return kExitBadInput;
  }
  std::string name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp(stdout);
    return kExitDone;
  }
  if (name == "--version") name = "version";
  for (const Verb& verb : Verbs()) {
    if (name == verb.name) return verb.run(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "facet: unknown verb \"%s\" (try: facet --help)\n",
               name.c_str());
  return kExitBadInput;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  facet::QuietProtobuf();
  return facet::Main(argc, argv);
}
