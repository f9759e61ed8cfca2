#include "rpc/cli/embedded_model.h"

#include <cstdio>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/cluster_metrics.h"
#include "rpc/cli/load_progress.h"

namespace facet {

absl::StatusOr<std::unique_ptr<EmbeddedModel>> EmbeddedModel::Start(
    const EmbeddedModelOptions& options) {
  const absl::Time start = absl::Now();
  std::unique_ptr<EmbeddedModel> model(new EmbeddedModel());
  if (options.text) {
    FACET_ASSIGN_OR_RETURN(
        TextModel text_model,
        LoadTextModel(options.cluster.model_directory, options.chat_format));
    model->text_model_ = std::make_unique<TextModel>(std::move(text_model));
    const absl::Status& format = model->text_model_->chat_format.status();
    if (absl::IsFailedPrecondition(format) && options.always_report_loading) {
      std::fprintf(stderr, "warning: conversations are refused: %s\n",
                   std::string(format.message()).c_str());
    }
  }
  std::vector<JournalEntry> journaled;
  if (options.journal.has_value()) {
    FACET_ASSIGN_OR_RETURN(model->journal_,
                           Journal::Open(*options.journal, &journaled));
  }
  LoadProgressBar progress(options.always_report_loading);
  ClusterOptions cluster = options.cluster;
  cluster.load_progress = [&progress](int64_t done, int64_t total) {
    progress.Update(done, total);
  };
  model->failures_ = std::make_unique<FailureMetrics>(
      options.text ? model->text_model_->name : "");
  cluster.on_loss = [failures = model->failures_.get()](absl::Duration time) {
    failures->WorkersLost(time);
  };
  FACET_ASSIGN_OR_RETURN(model->cluster_, Cluster::Start(cluster));
  progress.Finish();

  EngineLimits limits;
  limits.max_step_tokens = cluster.chunk_tokens;
  limits.max_sequences = cluster.max_sequences;
  limits.max_queue = options.max_queue;
  limits.prefix_cache = options.prefix_cache;
  limits.recovery_timeout = options.recovery_timeout;
  ClusterMetricsOptions metrics;
  if (options.text) metrics.model_name = model->text_model_->name;
  metrics.numerics = cluster.numerics;
  metrics.vllm_names = options.vllm_metrics;
  metrics.prefix_cache = options.prefix_cache;
  model->metrics_ = MakeClusterMetrics(*model->cluster_, metrics);

  const Tokenizer* const tokenizer =
      options.text ? model->text_model_->tokenizer.get() : nullptr;
  Executor* executor = &model->cluster_->executor();
  if (options.watch_steps) {
    model->watcher_ = options.watch_steps(executor);
    executor = model->watcher_.get();
  }
  model->engine_ = Engine::Create(executor, &model->cluster_->model(),
                                  tokenizer, limits, model->metrics_.get());
  if (options.text) {
    model->front_door_ = std::make_unique<FrontDoor>(model->engine_.get(),
                                                     model->text_model_.get());
    RequestLedgerOptions ledger = options.ledger;
    ledger.journal = model->journal_.get();
    model->ledger_ = std::make_unique<RequestLedger>(
        model->front_door_.get(), ledger, model->metrics_.get());
    if (ledger.journal != nullptr) {
      model->ledger_->Restore(std::move(journaled), options.journal->report);
    }
  }
  model->load_seconds_ = absl::ToDoubleSeconds(absl::Now() - start);
  return model;
}

std::string EmbeddedModel::MetricsText() {
  if (journal_ != nullptr) {
    const JournalState state = journal_->state();
    metrics_->SetJournal(!state.health.ok(), state.bytes, state.dropped);
  }
  return metrics_->Text() + failures_->Text();
}

EmbeddedModel::~EmbeddedModel() {
  if (engine_ != nullptr) engine_->Drain(absl::ZeroDuration());
  ledger_.reset();
  front_door_.reset();
  engine_.reset();
  if (cluster_ != nullptr) cluster_->Shutdown().IgnoreError();
}

}  // namespace facet
