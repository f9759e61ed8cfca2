#include "rpc/cli/bench/serving/measure_serving.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/bench/checkpoint_pages.h"
#include "rpc/cli/bench/kv_room.h"
#include "rpc/cli/bench/machine_info.h"
#include "rpc/cli/bench/random_tokens.h"
#include "rpc/cli/bench/serving/request_lengths.h"
#include "rpc/cli/embedded_model.h"
#include "rpc/client/local_client.h"

namespace facet {
namespace {

// A question of its own behind the shared prompt, and the answer to it.
constexpr int kQuestionTokens = 16;
constexpr int kPrefixAnswerTokens = 2;

absl::Status CheckOptions(const ServingOptions& options) {
  const auto refuse = [](const char* flag, auto value, const char* legal) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", value, " is out of range, ", legal));
  };
  for (int concurrency : options.concurrency) {
    if (concurrency < 1 || concurrency > 256) {
      return refuse("--concurrency", concurrency, "1 to 256");
    }
  }
  for (double rate : options.rates) {
    if (!(rate > 0 && rate <= 1000)) {
      return refuse("--rate", rate, "above 0, up to 1000");
    }
  }
  if (!(options.seconds > 0 && options.seconds <= 3600)) {
    return refuse("--seconds", options.seconds, "above 0, up to 3600");
  }
  if (!(options.length_scale > 0 && options.length_scale <= 8)) {
    return refuse("--length-scale", options.length_scale, "above 0, up to 8");
  }
  if (options.shared_prompt < 0) {
    return refuse("--shared-prompt", options.shared_prompt, "0 or more");
  }
  return absl::OkStatus();
}

// Room for all requests of the densest load at once, twice as long as they are
// on average, beside the longest and the shared prompt.
int64_t PositionsFor(const ServingOptions& options) {
  constexpr int kMeanRequest = 420;
  int64_t most = 1;
  for (int concurrency : options.concurrency) {
    most = std::max<int64_t>(most, concurrency);
  }
  const double scale = options.length_scale;
  const auto loads = static_cast<int64_t>(
      scale * (2.0 * kMeanRequest * most + kLongestPrompt + kLongestAnswer));
  const int64_t prefix =
      options.shared_prompt + 2 * kQuestionTokens + 2 * kPrefixAnswerTokens;
  return loads + prefix + most * options.cluster.page_tokens;
}

class Measuring {
 public:
  explicit Measuring(const ServingOptions& options) : options_(options) {}

  absl::Status Start(const ModelConfig* model) {
    if (!options_.server.empty()) {
      FACET_ASSIGN_OR_RETURN(
          client_, ConnectToServer(options_.server, absl::Seconds(10)));
    } else {
      FACET_RETURN_IF_ERROR(StartHere(*model));
    }
    FACET_ASSIGN_OR_RETURN(const ModelInfo info, client_->Info());
    vocab_size_ = info.vocab_size;
    return absl::OkStatus();
  }

  // First calls are slower than the rest.
  absl::Status WarmUp() {
    return TimeFirstToken(client_.get(), RandomTokens(32, vocab_size_, seed_++),
                          4, nullptr)
        .status();
  }

  absl::StatusOr<PrefixUse> MeasurePrefix() {
    Say(absl::StrCat("prompt of ", options_.shared_prompt, " tokens, twice"));
    PrefixUse use;
    use.shared_tokens = options_.shared_prompt;
    const std::vector<int32_t> shared =
        RandomTokens(options_.shared_prompt, vocab_size_, seed_++);
    const auto ask = [&](int64_t* cached) {
      std::vector<int32_t> prompt = shared;
      const std::vector<int32_t> question =
          RandomTokens(kQuestionTokens, vocab_size_, seed_++);
      prompt.insert(prompt.end(), question.begin(), question.end());
      return TimeFirstToken(client_.get(), std::move(prompt),
                            kPrefixAnswerTokens, cached);
    };
    FACET_ASSIGN_OR_RETURN(use.first_s, ask(nullptr));
    FACET_ASSIGN_OR_RETURN(use.second_s, ask(&use.cached_tokens));
    return use;
  }

  absl::StatusOr<ServedLoad> MeasureLoad(LoadShape shape) {
    shape.window = absl::Seconds(options_.seconds);
    shape.length_scale = options_.length_scale;
    shape.seed = seed_++;
    shape.vocab_size = vocab_size_;
    Say(shape.closed()
            ? absl::StrCat("closed loop, ", shape.concurrency, " at a time")
            : absl::StrCat("open loop, ", shape.rate, " requests a second"));
    ServedLoad load;
    load.shape = shape;
    load.before = Sample();
    if (recorder_ != nullptr) recorder_->Take();
    FACET_ASSIGN_OR_RETURN(load.seen, RunLoad(client_.get(), shape));
    if (recorder_ != nullptr) load.steps = recorder_->Take();
    load.after = Sample();
    return load;
  }

 private:
  absl::Status StartHere(const ModelConfig& model) {
    Say("loading");
    EmbeddedModelOptions embedded;
    embedded.cluster = options_.cluster;
    for (int concurrency : options_.concurrency) {
      embedded.cluster.max_sequences =
          std::max(embedded.cluster.max_sequences, concurrency);
    }
    if (options_.enlarge_kv) {
      embedded.cluster.kv_bytes_per_worker = std::max(
          embedded.cluster.kv_bytes_per_worker,
          KvBytesForPositions(model, embedded.cluster, PositionsFor(options_)));
    }
    embedded.watch_steps = [this](Executor* of_cluster) {
      auto recorder = std::make_unique<StepRecorder>(of_cluster);
      recorder_ = recorder.get();
      return recorder;
    };
    FACET_ASSIGN_OR_RETURN(model_, EmbeddedModel::Start(embedded));
    client_ = MakeLocalClient(&model_->front_door());
    // Limits are the processors'.
    if (options_.cluster.device != "cpu") return absl::OkStatus();
    Say("limits");
    FACET_ASSIGN_OR_RETURN(
        meter_,
        LimitMeter::Open(options_.cluster.model_directory, options_.threads));
    matvec_rows_ = meter_->Measure(3).matvec_rows;
    return absl::OkStatus();
  }

  std::optional<LimitSample> Sample() {
    if (meter_ == nullptr) return std::nullopt;
    return meter_->Sample(matvec_rows_);
  }

  void Say(const std::string& what) const {
    if (options_.progress) options_.progress(what);
  }

  const ServingOptions& options_;
  std::unique_ptr<EmbeddedModel> model_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<LimitMeter> meter_;
  StepRecorder* recorder_ = nullptr;
  int matvec_rows_ = 0;
  int64_t vocab_size_ = 0;
  uint64_t seed_ = options_.seed;
};

// Half of what the fastest closed loop answered; 0 where none answered any.
double HalfOfMostRequests(const std::vector<ServedLoad>& loads) {
  double most = 0;
  for (const ServedLoad& load : loads) {
    most = std::max(
        most, static_cast<double>(load.seen.requests) / load.seen.seconds());
  }
  // Two digits: it is shown as if it had been asked for.
  return std::round(most * 50) / 100;
}

}  // namespace

absl::StatusOr<ServingMeasurements> MeasureServing(
    const ServingOptions& options, const ModelConfig* model) {
  FACET_RETURN_IF_ERROR(CheckOptions(options));
  const SteadyClock::time_point start = SteadyClock::now();
  const double pressure = CpuPressureSeconds();
  ServingMeasurements all;
  Measuring measuring(options);
  FACET_RETURN_IF_ERROR(measuring.Start(model));
  FACET_RETURN_IF_ERROR(measuring.WarmUp());
  if (options.shared_prompt > 0) {
    FACET_ASSIGN_OR_RETURN(all.prefix, measuring.MeasurePrefix());
  }
  for (int concurrency : options.concurrency) {
    LoadShape shape;
    shape.concurrency = concurrency;
    FACET_ASSIGN_OR_RETURN(ServedLoad load, measuring.MeasureLoad(shape));
    all.loads.push_back(std::move(load));
  }
  std::vector<double> rates = options.rates;
  if (rates.empty()) rates.push_back(HalfOfMostRequests(all.loads));
  for (double rate : rates) {
    if (rate <= 0) continue;
    LoadShape shape;
    shape.rate = rate;
    FACET_ASSIGN_OR_RETURN(ServedLoad load, measuring.MeasureLoad(shape));
    all.loads.push_back(std::move(load));
  }
  if (pressure >= 0) {
    const std::chrono::duration<double> run = SteadyClock::now() - start;
    all.cpu_pressure = (CpuPressureSeconds() - pressure) / run.count();
  }
  return all;
}

}  // namespace facet
