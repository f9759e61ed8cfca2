// A model that a command runs for itself: its cluster, engine and front door.
#ifndef FACET_RPC_CLI_EMBEDDED_MODEL_H_
#define FACET_RPC_CLI_EMBEDDED_MODEL_H_

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "rpc/coordinator/cluster.h"
#include "rpc/coordinator/engine.h"
#include "rpc/coordinator/front_door.h"
#include "rpc/coordinator/request_ledger.h"
#include "rpc/coordinator/text_model.h"
#include "rpc/metrics/failure_metrics.h"
#include "rpc/metrics/serving_metrics.h"
#include "runtime/executor/executor.h"

namespace facet {

struct EmbeddedModelOptions {
  ClusterOptions cluster;
  // False: token ids alone, then the directory needs no tokenizer and there is
  // no front door.
  bool text = true;
  std::string chat_format = "auto";
  int max_queue = 1024;
  bool prefix_cache = true;
  // See EngineLimits.
  absl::Duration recovery_timeout = absl::Minutes(2);
  bool always_report_loading = false;
  bool vllm_metrics = false;  // show metrics under vLLM's names too
  RequestLedgerOptions ledger;
  std::optional<JournalOptions> journal;  // of the ledger
  // Makes what stands between the engine and the cluster's executor, to watch
  // the steps; null: nothing does.
  std::function<std::unique_ptr<Executor>(Executor* of_cluster)> watch_steps;
};

class EmbeddedModel {
 public:
  // Errors: those of LoadTextModel(), Cluster::Start() and Journal::Open().
  static absl::StatusOr<std::unique_ptr<EmbeddedModel>> Start(
      const EmbeddedModelOptions& options);

  // Ends what still runs, then the workers.
  ~EmbeddedModel();

  Engine& engine() { return *engine_; }
  const FrontDoor& front_door() const { return *front_door_; }
  // With a front door.
  RequestLedger& ledger() { return *ledger_; }
  Journal* journal() { return journal_.get(); }  // null: there is none
  Cluster& cluster() { return *cluster_; }
  // As /metrics shows them.
  std::string MetricsText();
  double load_seconds() const { return load_seconds_; }

 private:
  EmbeddedModel() = default;

  std::unique_ptr<TextModel> text_model_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<ServingMetrics> metrics_;
  std::unique_ptr<FailureMetrics> failures_;
  std::unique_ptr<Executor> watcher_;  // null: the cluster's own serves
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<FrontDoor> front_door_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<RequestLedger> ledger_;
  double load_seconds_ = 0;
};

}  // namespace facet

#endif  // FACET_RPC_CLI_EMBEDDED_MODEL_H_
