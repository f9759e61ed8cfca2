#include "rpc/convert/control_convert.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/check.h"
#include "kernels/base/status_macros.h"
#include "rpc/convert/control_activity_convert.h"
#include "rpc/convert/control_checks.h"
#include "rpc/convert/control_step_convert.h"

namespace facet {
namespace {

absl::Status ParseError(int code, const std::string& message,
                        absl::Status& error) {
  FACET_RETURN_IF_ERROR(
      CheckField(code >= 1 && code <= 16, "code", code, "1 to 16"));
  error = absl::Status(static_cast<absl::StatusCode>(code), message);
  return absl::OkStatus();
}

v1::Numerics Wire(const NumericsOptions& options) {
  v1::Numerics proto;
  proto.set_activations(options.activations == Activations::kF32
                            ? v1::Numerics::ACTIVATIONS_F32
                            : v1::Numerics::ACTIVATIONS_BF16);
  proto.set_kv_format(options.kv_format == KvFormat::kF32
                          ? v1::Numerics::KV_FORMAT_F32
                          : v1::Numerics::KV_FORMAT_BF16);
  proto.set_fast(options.fast);
  return proto;
}

absl::StatusOr<NumericsOptions> Parse(const v1::Numerics& proto) {
  NumericsOptions options;
  switch (proto.activations()) {
    case v1::Numerics::ACTIVATIONS_F32:
      options.activations = Activations::kF32;
      break;
    case v1::Numerics::ACTIVATIONS_BF16:
      options.activations = Activations::kBF16;
      break;
    default:
      return CheckField(false, "numerics.activations", proto.activations(),
                        "1 (f32) or 2 (bf16)");
  }
  switch (proto.kv_format()) {
    case v1::Numerics::KV_FORMAT_F32:
      options.kv_format = KvFormat::kF32;
      break;
    case v1::Numerics::KV_FORMAT_BF16:
      options.kv_format = KvFormat::kBF16;
      break;
    default:
      return CheckField(false, "numerics.kv_format", proto.kv_format(),
                        "1 (f32) or 2 (bf16)");
  }
  options.fast = proto.fast();
  FACET_RETURN_IF_ERROR(
      CheckField(!options.fast || options.activations == Activations::kBF16,
                 "numerics.fast", 1, "false, or activations of 2 (bf16)"));
  return options;
}

absl::StatusOr<std::vector<int>> ParseCpus(
    const google::protobuf::RepeatedField<int32_t>& cpus) {
  FACET_RETURN_IF_ERROR(CheckCount(cpus.size(), kMaxCpus, "cpus"));
  for (int cpu : cpus) {
    FACET_RETURN_IF_ERROR(
        CheckField(cpu >= 0 && cpu < kMaxCpus, "cpus", cpu, "0 to 65535"));
  }
  return std::vector<int>(cpus.begin(), cpus.end());
}

// ---- worker to coordinator -------------------------------------------------

void Fill(const Heartbeat& in, v1::WorkerMessage& proto) {
  v1::Heartbeat& out = *proto.mutable_heartbeat();
  if (in.activity.has_value())
    FillActivity(*in.activity, *out.mutable_activity());
}

absl::StatusOr<Heartbeat> Parse(const v1::Heartbeat& in) {
  Heartbeat out;
  if (in.has_activity()) {
    FACET_ASSIGN_OR_RETURN(out.activity, ParseActivity(in.activity()));
  }
  return out;
}

void Fill(const WorkerRegistration& in, v1::WorkerMessage& proto) {
  v1::Register& out = *proto.mutable_register_();
  out.set_join_token(in.join_token);
  out.set_build_id(in.build_id);
  out.set_isa(in.isa);
  for (const NumericsCapability& mode : in.modes) {
    v1::Register::Mode& to = *out.add_modes();
    *to.mutable_numerics() = Wire(mode.numerics);
    to.set_name(mode.mode);
  }
  out.set_hostname(in.hostname);
  out.set_host_id(in.endpoint.host_id);
  out.set_comm_address(in.endpoint.address);
  out.mutable_cpus()->Assign(in.cpus.begin(), in.cpus.end());
  out.set_memory_bytes(in.memory_bytes);
  out.set_pid(in.pid);
  if (in.held_rank >= 0) out.set_held_rank(in.held_rank);
  out.set_grow(in.grow);
  out.set_device(in.device);
}

absl::StatusOr<WorkerRegistration> Parse(const v1::Register& in) {
  WorkerRegistration out;
  FACET_RETURN_IF_ERROR(CheckName(in.join_token(), "join_token"));
  FACET_RETURN_IF_ERROR(CheckName(in.build_id(), "build_id"));
  FACET_RETURN_IF_ERROR(CheckName(in.isa(), "isa"));
  FACET_RETURN_IF_ERROR(CheckName(in.device(), "device"));
  FACET_RETURN_IF_ERROR(CheckName(in.hostname(), "hostname"));
  FACET_RETURN_IF_ERROR(CheckName(in.host_id(), "host_id"));
  FACET_RETURN_IF_ERROR(CheckName(in.comm_address(), "comm_address"));
  FACET_RETURN_IF_ERROR(CheckCount(in.modes_size(), 64, "modes"));
  out.join_token = in.join_token();
  out.build_id = in.build_id();
  out.isa = in.isa();
  for (const v1::Register::Mode& mode : in.modes()) {
    FACET_RETURN_IF_ERROR(CheckName(mode.name(), "modes.name"));
    FACET_ASSIGN_OR_RETURN(const NumericsOptions numerics,
                           Parse(mode.numerics()));
    out.modes.push_back({numerics, mode.name()});
  }
  out.hostname = in.hostname();
  out.endpoint = {in.host_id(), in.comm_address()};
  FACET_ASSIGN_OR_RETURN(out.cpus, ParseCpus(in.cpus()));
  FACET_RETURN_IF_ERROR(CheckField(in.memory_bytes() >= 0, "memory_bytes",
                                   in.memory_bytes(), "0 or more"));
  out.memory_bytes = in.memory_bytes();
  FACET_RETURN_IF_ERROR(
      CheckField(in.pid() >= 0, "pid", in.pid(), "0 or more"));
  out.pid = in.pid();
  out.grow = in.grow();
  out.device = in.device();
  if (in.has_held_rank()) {
    FACET_RETURN_IF_ERROR(
        CheckField(in.held_rank() >= 0 && in.held_rank() < kMaxWorldSize,
                   "held_rank", in.held_rank(), "0 to 65535"));
    out.held_rank = in.held_rank();
  }
  return out;
}

void Fill(const WorkerProgress& in, v1::WorkerMessage& proto) {
  v1::LoadProgress& out = *proto.mutable_load_progress();
  out.set_done_bytes(in.done_bytes);
  out.set_total_bytes(in.total_bytes);
}

absl::StatusOr<WorkerProgress> Parse(const v1::LoadProgress& in) {
  FACET_RETURN_IF_ERROR(CheckField(in.total_bytes() >= 0, "total_bytes",
                                   in.total_bytes(), "0 or more"));
  FACET_RETURN_IF_ERROR(
      CheckField(in.done_bytes() >= 0 && in.done_bytes() <= in.total_bytes(),
                 "done_bytes", in.done_bytes(), "0 to total_bytes"));
  return WorkerProgress{in.done_bytes(), in.total_bytes()};
}

void Fill(const WorkerReady&, v1::WorkerMessage& proto) {
  proto.mutable_ready();
}

void Fill(const LogitsPiece& in, v1::WorkerMessage& proto) {
  Fill(in, *proto.mutable_logits_piece());
}

void Fill(const PromptLogprobsPiece& in, v1::WorkerMessage& proto) {
  Fill(in, *proto.mutable_prompt_logprobs());
}

void Fill(const StepResult& in, v1::WorkerMessage& proto) {
  Fill(in, *proto.mutable_step_result());
}

void Fill(const WorkerFailed& in, v1::WorkerMessage& proto) {
  proto.mutable_failed()->set_code(static_cast<int>(in.status.code()));
  proto.mutable_failed()->set_message(std::string(in.status.message()));
}

absl::StatusOr<WorkerFailed> Parse(const v1::Failed& in) {
  WorkerFailed out;
  FACET_RETURN_IF_ERROR(ParseError(in.code(), in.message(), out.status));
  return out;
}

// ---- coordinator to worker -------------------------------------------------

void Fill(const Heartbeat&, v1::CoordinatorMessage& proto) {
  proto.mutable_heartbeat();
}

void Fill(const WorkerAssignment& in, v1::CoordinatorMessage& proto) {
  v1::Assignment& out = *proto.mutable_assignment();
  out.set_model_directory(in.model_directory);
  out.set_pp_size(in.parallelism.pp_size);
  out.set_tp_size(in.parallelism.tp_size);
  out.set_ep_size(in.parallelism.ep_size);
  out.mutable_stage_layers()->Assign(in.parallelism.stage_layers.begin(),
                                     in.parallelism.stage_layers.end());
  out.set_rank(in.rank);
  for (const CommEndpoint& endpoint : in.endpoints) {
    v1::Assignment::Endpoint& to = *out.add_endpoints();
    to.set_host_id(endpoint.host_id);
    to.set_address(endpoint.address);
  }
  out.set_world_key(in.world_key);
  out.set_epoch(in.epoch);
  *out.mutable_numerics() = Wire(in.numerics);
  out.set_page_tokens(in.pools.page_tokens);
  out.set_sliding_pages(in.pools.sliding_pages);
  out.set_global_pages(in.pools.global_pages);
  out.set_max_step_tokens(in.max_step_tokens);
  out.set_threads(in.threads);
  out.mutable_cpus()->Assign(in.cpus.begin(), in.cpus.end());
  out.set_check_weights(in.check_weights);
  out.set_comm_timeout_ms(absl::ToInt64Milliseconds(in.comm_timeout));
  out.set_heartbeat_interval_ms(
      absl::ToInt64Milliseconds(in.heartbeat_interval));
  out.set_heartbeat_timeout_ms(absl::ToInt64Milliseconds(in.heartbeat_timeout));
  out.set_most_steps(in.most_steps);
}

absl::StatusOr<absl::Duration> ParseDuration(int64_t milliseconds,
                                             const char* field) {
  FACET_RETURN_IF_ERROR(
      CheckField(milliseconds >= 1 && milliseconds <= 86'400'000, field,
                 milliseconds, "1 to 86400000"));
  return absl::Milliseconds(milliseconds);
}

absl::Status ParseParallelism(const v1::Assignment& in,
                              ParallelismOptions& out) {
  const auto check = [](int value, const char* field) {
    return CheckField(value >= 1 && value <= kMaxWorldSize, field, value,
                      "1 to 65536");
  };
  FACET_RETURN_IF_ERROR(check(in.pp_size(), "pp_size"));
  FACET_RETURN_IF_ERROR(check(in.tp_size(), "tp_size"));
  FACET_RETURN_IF_ERROR(check(in.ep_size(), "ep_size"));
  out.pp_size = in.pp_size();
  out.tp_size = in.tp_size();
  out.ep_size = in.ep_size();
  FACET_RETURN_IF_ERROR(
      CheckCount(in.stage_layers_size(), kMaxWorldSize, "stage_layers"));
  for (int layers : in.stage_layers()) {
    FACET_RETURN_IF_ERROR(
        CheckField(layers >= 1, "stage_layers", layers, "1 or more"));
  }
  out.stage_layers.assign(in.stage_layers().begin(), in.stage_layers().end());
  return absl::OkStatus();
}

absl::StatusOr<WorkerAssignment> Parse(const v1::Assignment& in) {
  WorkerAssignment out;
  FACET_RETURN_IF_ERROR(CheckName(in.model_directory(), "model_directory"));
  FACET_RETURN_IF_ERROR(CheckName(in.world_key(), "world_key"));
  out.model_directory = in.model_directory();
  FACET_RETURN_IF_ERROR(ParseParallelism(in, out.parallelism));
  const int64_t world_size = int64_t{in.pp_size()} * in.tp_size();
  FACET_RETURN_IF_ERROR(CheckField(in.endpoints_size() == world_size,
                                   "endpoints", in.endpoints_size(),
                                   "one per rank, pp_size * tp_size"));
  for (const v1::Assignment::Endpoint& endpoint : in.endpoints()) {
    FACET_RETURN_IF_ERROR(CheckName(endpoint.host_id(), "endpoints.host_id"));
    FACET_RETURN_IF_ERROR(CheckName(endpoint.address(), "endpoints.address"));
    out.endpoints.push_back({endpoint.host_id(), endpoint.address()});
  }
  FACET_RETURN_IF_ERROR(CheckField(in.rank() >= 0 && in.rank() < world_size,
                                   "rank", in.rank(),
                                   "0 to pp_size * tp_size - 1"));
  out.rank = in.rank();
  out.world_key = in.world_key();
  out.epoch = in.epoch();
  FACET_ASSIGN_OR_RETURN(out.numerics, Parse(in.numerics()));
  FACET_RETURN_IF_ERROR(
      CheckField(in.page_tokens() >= 1 && in.page_tokens() <= (1 << 16),
                 "page_tokens", in.page_tokens(), "1 to 65536"));
  FACET_RETURN_IF_ERROR(CheckField(in.sliding_pages() >= 0, "sliding_pages",
                                   in.sliding_pages(), "0 or more"));
  FACET_RETURN_IF_ERROR(CheckField(in.global_pages() >= 0, "global_pages",
                                   in.global_pages(), "0 or more"));
  out.pools.page_tokens = in.page_tokens();
  out.pools.sliding_pages = in.sliding_pages();
  out.pools.global_pages = in.global_pages();
  FACET_RETURN_IF_ERROR(CheckField(
      in.max_step_tokens() >= 1 && in.max_step_tokens() <= kMaxSliceTokens,
      "max_step_tokens", in.max_step_tokens(), "1 to 2^24"));
  out.max_step_tokens = in.max_step_tokens();
  FACET_RETURN_IF_ERROR(
      CheckField(in.threads() >= 1 && in.threads() <= kMaxCpus, "threads",
                 in.threads(), "1 to 65536"));
  out.threads = in.threads();
  FACET_ASSIGN_OR_RETURN(out.cpus, ParseCpus(in.cpus()));
  FACET_RETURN_IF_ERROR(
      CheckField(in.cpus().empty() || in.cpus_size() == in.threads(), "cpus",
                 in.cpus_size(), "no entry or one per thread"));
  out.check_weights = in.check_weights();
  FACET_ASSIGN_OR_RETURN(
      out.comm_timeout, ParseDuration(in.comm_timeout_ms(), "comm_timeout_ms"));
  FACET_ASSIGN_OR_RETURN(
      out.heartbeat_interval,
      ParseDuration(in.heartbeat_interval_ms(), "heartbeat_interval_ms"));
  FACET_ASSIGN_OR_RETURN(
      out.heartbeat_timeout,
      ParseDuration(in.heartbeat_timeout_ms(), "heartbeat_timeout_ms"));
  FACET_RETURN_IF_ERROR(
      CheckField(in.most_steps() >= 0 && in.most_steps() <= kMaxMostSteps,
                 "most_steps", in.most_steps(), "0 to 256"));
  out.most_steps = in.most_steps();
  return out;
}

void Fill(const StepPlan& in, v1::CoordinatorMessage& proto) {
  Fill(in, *proto.mutable_step_plan());
}

void Fill(const WorkerShutdown& in, v1::CoordinatorMessage& proto) {
  proto.mutable_shutdown()->set_reason(in.reason);
}

void Fill(const WorkerRefused& in, v1::CoordinatorMessage& proto) {
  proto.mutable_refused()->set_code(static_cast<int>(in.status.code()));
  proto.mutable_refused()->set_message(std::string(in.status.message()));
}

absl::StatusOr<WorkerRefused> Parse(const v1::Refused& in) {
  WorkerRefused out;
  FACET_RETURN_IF_ERROR(ParseError(in.code(), in.message(), out.status));
  return out;
}

// StatusOr<T> to StatusOr<variant>, with the message's name before the error.
template <typename Out, typename In>
absl::StatusOr<Out> Named(const char* message, absl::StatusOr<In> value) {
  if (!value.ok()) return Annotate(value.status(), message);
  return Out(*std::move(value));
}

}  // namespace

v1::WorkerMessage ToProto(const WorkerMessage& message) {
  v1::WorkerMessage proto;
  std::visit([&](const auto& value) { Fill(value, proto); }, message);
  return proto;
}

v1::CoordinatorMessage ToProto(const CoordinatorMessage& message) {
  v1::CoordinatorMessage proto;
  std::visit([&](const auto& value) { Fill(value, proto); }, message);
  return proto;
}

absl::StatusOr<WorkerMessage> FromProto(const v1::WorkerMessage& proto) {
  using Kind = v1::WorkerMessage;
  switch (proto.kind_case()) {
    case Kind::kRegister:
      return Named<WorkerMessage>("Register", Parse(proto.register_()));
    case Kind::kLoadProgress:
      return Named<WorkerMessage>("LoadProgress", Parse(proto.load_progress()));
    case Kind::kReady:
      return WorkerMessage(WorkerReady{});
    case Kind::kLogitsPiece:
      return Named<WorkerMessage>("LogitsPiece", Parse(proto.logits_piece()));
    case Kind::kStepResult:
      return Named<WorkerMessage>("StepResult", Parse(proto.step_result()));
    case Kind::kPromptLogprobs:
      return Named<WorkerMessage>("PromptLogprobs",
                                  Parse(proto.prompt_logprobs()));
    case Kind::kFailed:
      return Named<WorkerMessage>("Failed", Parse(proto.failed()));
    case Kind::kHeartbeat:
      return Named<WorkerMessage>("Heartbeat", Parse(proto.heartbeat()));
    case Kind::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "a worker's message is of no kind this build knows");
}

absl::StatusOr<CoordinatorMessage> FromProto(
    const v1::CoordinatorMessage& proto) {
  using Kind = v1::CoordinatorMessage;
  switch (proto.kind_case()) {
    case Kind::kAssignment:
      return Named<CoordinatorMessage>("Assignment", Parse(proto.assignment()));
    case Kind::kStepPlan:
      return Named<CoordinatorMessage>("StepPlan", Parse(proto.step_plan()));
    case Kind::kShutdown:
      return CoordinatorMessage(WorkerShutdown{proto.shutdown().reason()});
    case Kind::kHeartbeat:
      return CoordinatorMessage(Heartbeat{});
    case Kind::kRefused:
      return Named<CoordinatorMessage>("Refused", Parse(proto.refused()));
    case Kind::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "the coordinator's message is of no kind this build knows");
}

std::vector<LogitsPiece> CutLogits(uint64_t step, const LogitsBlock& block,
                                   int64_t max_values) {
  FACET_CHECK(max_values >= 1);
  const int64_t total = static_cast<int64_t>(block.values.size());
  FACET_CHECK(total == block.rows * (block.vocab_end - block.vocab_begin));
  std::vector<LogitsPiece> pieces;
  int64_t offset = 0;
  do {
    LogitsPiece piece;
    piece.step = step;
    piece.block.sequence = block.sequence;
    piece.block.first_position = block.first_position;
    piece.block.rows = block.rows;
    piece.block.vocab_begin = block.vocab_begin;
    piece.block.vocab_end = block.vocab_end;
    piece.offset = offset;
    const int64_t end = std::min(total, offset + max_values);
    piece.values.assign(block.values.begin() + offset,
                        block.values.begin() + end);
    pieces.push_back(std::move(piece));
    offset = end;
  } while (offset < total);
  return pieces;
}

std::vector<PromptLogprobsPiece> CutPromptLogprobs(
    uint64_t step, std::vector<PromptLogprob> logprobs, int64_t max_entries) {
  FACET_CHECK(max_entries >= 1);
  std::vector<PromptLogprobsPiece> pieces;
  for (PromptLogprob& logprob : logprobs) {
    if (pieces.empty() ||
        static_cast<int64_t>(pieces.back().logprobs.size()) == max_entries) {
      pieces.push_back({step, {}});
    }
    pieces.back().logprobs.push_back(std::move(logprob));
  }
  return pieces;
}

absl::Status CheckFitsMessage(const StepPlan& plan) {
  // 5 bytes hold a positive int32, 10 any varint; tags and lengths of a slice's
  // fields are within its 256.
  int64_t bytes = 256 + 10 * static_cast<int64_t>(plan.finished.size());
  absl::flat_hash_set<const TokenMask*> masks;
  for (const SequenceSlice& slice : plan.slices) {
    size_t ids = slice.tokens.size() + slice.new_sliding_pages.size() +
                 slice.new_global_pages.size();
    if (slice.begins.has_value()) {
      ids += slice.begins->earlier_tokens.size() +
             2 * slice.begins->logit_bias.size() +
             slice.begins->late_tokens.size();
    }
    const bool new_mask =
        slice.mask != nullptr && masks.insert(slice.mask.get()).second;
    const size_t words = new_mask ? slice.mask->size() : 0;
    bytes += static_cast<int64_t>(256 + 5 * ids + 8 * words);
  }
  if (bytes <= kMaxCoordinatorMessageBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "step ", plan.step, " may need ", bytes,
      " bytes on its way to the workers, expected at most ",
      kMaxCoordinatorMessageBytes, ": plan fewer sequences in one step"));
}

}  // namespace facet
