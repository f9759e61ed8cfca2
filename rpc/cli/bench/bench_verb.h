// `facet bench`: how near this machine's limits a model runs on it.
#ifndef FACET_RPC_CLI_BENCH_BENCH_VERB_H_
#define FACET_RPC_CLI_BENCH_BENCH_VERB_H_

namespace facet {

// argv[0] is the verb. Returns the exit code.
int RunBench(int argc, char** argv);

}  // namespace facet

#endif  // FACET_RPC_CLI_BENCH_BENCH_VERB_H_
