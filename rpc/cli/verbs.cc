#include "rpc/cli/verb.h"

namespace facet {

int RunBench(int argc, char** argv);
int RunChat(int argc, char** argv);
int RunDoctor(int argc, char** argv);
int RunGenerate(int argc, char** argv);
int RunLogits(int argc, char** argv);
int RunPlan(int argc, char** argv);
int RunRender(int argc, char** argv);
int RunServe(int argc, char** argv);
int RunTokenize(int argc, char** argv);
int RunTop(int argc, char** argv);
int RunVersion(int argc, char** argv);
int RunWorkerVerb(int argc, char** argv);

absl::Span<const Verb> Verbs() {
  static constexpr Verb kVerbs[] = {
      {"serve", "run a coordinator that serves a model", RunServe},
      {"worker", "join a cluster and hold a part of its model", RunWorkerVerb},
      {"top", "how a server does, as it changes", RunTop},
      {"doctor", "what is wrong with a cluster, and what to do", RunDoctor},
      {"chat", "talk to a model in the terminal", RunChat},
      {"generate", "answer a prompt and exit", RunGenerate},
      {"logits", "write the logits of given tokens to a file", RunLogits},
      {"tokenize", "text to token ids and back", RunTokenize},
      {"render", "the exact prompt text of a conversation", RunRender},
      {"plan", "who would hold what, before anything runs", RunPlan},
      {"bench", "how near this machine's limits a model runs", RunBench},
      {"version", "which build this is", RunVersion},
  };
  return kVerbs;
}

}  // namespace facet
