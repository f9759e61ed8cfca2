#include "rpc/convert/control_convert.h"

#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::HasSubstr;

class Random {
 public:
  explicit Random(uint32_t seed) : generator_(seed) {}
  int64_t Int(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(generator_);
  }
  uint64_t Word() { return generator_(); }
  float Float() {
    return std::uniform_real_distribution<float>(-40, 40)(generator_);
  }
  std::string Text() { return absl::StrCat("t", Int(0, 1 << 30)); }
  template <typename T>
  std::vector<T> Several(const std::function<T()>& make) {
    std::vector<T> all(Int(0, 9));
    for (T& one : all) one = make();
    return all;
  }
  std::vector<int> Ints(int low, int high) {
    return Several<int>([&] { return static_cast<int>(Int(low, high)); });
  }
  std::vector<PageId> Pages() {
    return Several<PageId>(
        [&] { return PageId{static_cast<int32_t>(Int(0, 1 << 20))}; });
  }
  NumericsOptions Numerics() {
    NumericsOptions numerics = {
        Int(0, 1) ? Activations::kF32 : Activations::kBF16,
        Int(0, 1) ? KvFormat::kF32 : KvFormat::kBF16};
    numerics.fast = numerics.activations == Activations::kBF16 && Int(0, 1);
    return numerics;
  }

 private:
  std::mt19937_64 generator_;
};

SequenceStart RandomStart(Random& random) {
  SequenceStart start;
  start.prompt_tokens = random.Int(0, 1 << 20);
  start.earlier_tokens = random.Ints(0, 300000);
  start.logit_bias = random.Several<TokenBias>([&] {
    return TokenBias{static_cast<int32_t>(random.Int(0, 300000)),
                     random.Float()};
  });
  start.late_tokens = random.Ints(0, 300000);
  start.late_position = random.Int(0, 1 << 20);
  return start;
}

StepPlan RandomPlan(Random& random) {
  StepPlan plan;
  plan.step = random.Word();
  plan.slices = random.Several<SequenceSlice>([&] {
    SequenceSlice slice;
    slice.sequence = {random.Word()};
    slice.tokens = random.Ints(0, 300000);
    slice.tokens.push_back(7);
    if (random.Int(0, 3) == 0) slice.tokens = {kSampledToken};
    if (random.Int(0, 1)) slice.begins = RandomStart(random);
    slice.start = random.Int(0, 1 << 30);
    slice.new_sliding_pages = random.Pages();
    slice.new_global_pages = random.Pages();
    slice.sliding_first_page = random.Int(0, 1 << 20);
    slice.sample = random.Int(0, 1);
    if (slice.sample) {
      slice.sampling.temperature = std::abs(random.Float());
      slice.sampling.top_k = static_cast<int>(random.Int(0, 100));
      slice.sampling.top_p = 0.01f * static_cast<float>(random.Int(1, 100));
      slice.sampling.min_p = 0.01f * static_cast<float>(random.Int(0, 99));
      slice.sampling.seed = random.Word();
      slice.sampling.logprob = random.Int(0, 1);
      slice.sampling.top_logprobs = static_cast<int>(random.Int(0, 64));
      slice.sampling.repetition_penalty =
          0.01f * static_cast<float>(random.Int(1, 300));
      slice.sampling.presence_penalty =
          0.01f * static_cast<float>(random.Int(-200, 200));
      slice.sampling.frequency_penalty =
          0.01f * static_cast<float>(random.Int(-200, 200));
    }
    if (random.Int(0, 1)) {
      slice.mask = std::make_shared<TokenMask>(
          random.Several<uint64_t>([&] { return random.Word(); }));
    }
    slice.prompt_logprobs = static_cast<int>(random.Int(-1, 64));
    slice.next_prompt_token = static_cast<int32_t>(random.Int(-1, 300000));
    slice.logits = static_cast<LogitsWanted>(random.Int(0, 2));
    return slice;
  });
  plan.finished =
      random.Several<SequenceId>([&] { return SequenceId{random.Word()}; });
  plan.completed = random.Word();
  return plan;
}

StepResult RandomResult(Random& random) {
  StepResult result;
  result.step = random.Word();
  result.compute = absl::Nanoseconds(random.Int(0, int64_t{1} << 40));
  result.tokens = random.Several<SampledToken>([&] {
    SampledToken token;
    token.sequence = {random.Word()};
    token.token = static_cast<int32_t>(random.Int(0, 1 << 20));
    token.logprob = random.Float();
    token.top = random.Several<TokenLogprob>([&] {
      return TokenLogprob{static_cast<int32_t>(random.Int(0, 1 << 20)),
                          random.Float()};
    });
    return token;
  });
  return result;
}

std::vector<PromptLogprob> RandomPromptLogprobs(Random& random) {
  return random.Several<PromptLogprob>([&] {
    PromptLogprob entry;
    entry.sequence = {random.Word()};
    entry.position = random.Int(1, 1 << 20);
    entry.token = static_cast<int32_t>(random.Int(0, 1 << 20));
    entry.logprob = random.Float();
    entry.top = random.Several<TokenLogprob>([&] {
      return TokenLogprob{static_cast<int32_t>(random.Int(0, 1 << 20)),
                          random.Float()};
    });
    return entry;
  });
}

WorkerRegistration RandomRegistration(Random& random) {
  WorkerRegistration out;
  out.join_token = random.Text();
  out.build_id = random.Text();
  out.isa = random.Text();
  out.modes = random.Several<NumericsCapability>([&] {
    return NumericsCapability{random.Numerics(), random.Text()};
  });
  out.hostname = random.Text();
  out.endpoint = {random.Text(), random.Text()};
  out.cpus = random.Ints(0, 200);
  out.memory_bytes = random.Int(0, int64_t{1} << 50);
  out.pid = random.Int(0, 1 << 22);
  out.grow = random.Int(0, 1) == 1;
  out.device = random.Text();
  return out;
}

WorkerAssignment RandomAssignment(Random& random) {
  WorkerAssignment out;
  out.model_directory = random.Text();
  out.parallelism.pp_size = static_cast<int>(random.Int(1, 4));
  out.parallelism.tp_size = static_cast<int>(random.Int(1, 8));
  out.parallelism.ep_size = static_cast<int>(random.Int(1, 8));
  out.parallelism.stage_layers = random.Ints(1, 60);
  const int world = out.parallelism.pp_size * out.parallelism.tp_size;
  out.rank = static_cast<int>(random.Int(0, world - 1));
  for (int i = 0; i < world; ++i) {
    out.endpoints.push_back({random.Text(), random.Text()});
  }
  out.world_key = random.Text();
  out.epoch = random.Word();
  out.numerics = random.Numerics();
  out.pools.page_tokens = static_cast<int>(random.Int(1, 256));
  out.pools.sliding_pages = static_cast<int32_t>(random.Int(0, 1 << 20));
  out.pools.global_pages = static_cast<int32_t>(random.Int(0, 1 << 20));
  out.max_step_tokens = static_cast<int>(random.Int(1, 4096));
  out.threads = static_cast<int>(random.Int(1, 64));
  if (random.Int(0, 1)) out.cpus.assign(out.threads, 3);
  out.check_weights = random.Int(0, 1);
  out.comm_timeout = absl::Milliseconds(random.Int(1, 100000));
  out.heartbeat_interval = absl::Milliseconds(random.Int(1, 100000));
  out.heartbeat_timeout = absl::Milliseconds(random.Int(1, 100000));
  return out;
}

// Through the wire's bytes, as between processes.
template <typename Message>
absl::StatusOr<Message> RoundTrip(const Message& message) {
  auto proto = ToProto(message);
  decltype(proto) received;
  EXPECT_TRUE(received.ParseFromString(proto.SerializeAsString()));
  return FromProto(received);
}

void ExpectSame(const std::vector<TokenLogprob>& a,
                const std::vector<TokenLogprob>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].token, b[i].token);
    EXPECT_EQ(a[i].logprob, b[i].logprob);
  }
}

void ExpectSame(const SequenceStart& a, const SequenceStart& b) {
  EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
  EXPECT_EQ(a.earlier_tokens, b.earlier_tokens);
  ASSERT_EQ(a.logit_bias.size(), b.logit_bias.size());
  for (size_t i = 0; i < a.logit_bias.size(); ++i) {
    EXPECT_EQ(a.logit_bias[i].token, b.logit_bias[i].token);
    EXPECT_EQ(a.logit_bias[i].bias, b.logit_bias[i].bias);
  }
  EXPECT_EQ(a.late_tokens, b.late_tokens);
  EXPECT_EQ(a.late_position, b.late_position);
}

void ExpectSame(const StepPlan& a, const StepPlan& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.finished, b.finished);
  EXPECT_EQ(a.completed, b.completed);
  ASSERT_EQ(a.slices.size(), b.slices.size());
  for (size_t i = 0; i < a.slices.size(); ++i) {
    const SequenceSlice& x = a.slices[i];
    const SequenceSlice& y = b.slices[i];
    EXPECT_EQ(x.sequence, y.sequence);
    EXPECT_EQ(x.tokens, y.tokens);
    EXPECT_EQ(x.start, y.start);
    EXPECT_EQ(x.new_sliding_pages, y.new_sliding_pages);
    EXPECT_EQ(x.new_global_pages, y.new_global_pages);
    EXPECT_EQ(x.sliding_first_page, y.sliding_first_page);
    EXPECT_EQ(x.sample, y.sample);
    EXPECT_EQ(x.sampling.temperature, y.sampling.temperature);
    EXPECT_EQ(x.sampling.top_k, y.sampling.top_k);
    EXPECT_EQ(x.sampling.top_p, y.sampling.top_p);
    EXPECT_EQ(x.sampling.min_p, y.sampling.min_p);
    EXPECT_EQ(x.sampling.seed, y.sampling.seed);
    EXPECT_EQ(x.sampling.logprob, y.sampling.logprob);
    EXPECT_EQ(x.sampling.top_logprobs, y.sampling.top_logprobs);
    EXPECT_EQ(x.sampling.repetition_penalty, y.sampling.repetition_penalty);
    EXPECT_EQ(x.sampling.presence_penalty, y.sampling.presence_penalty);
    EXPECT_EQ(x.sampling.frequency_penalty, y.sampling.frequency_penalty);
    EXPECT_EQ(x.logits, y.logits);
    ASSERT_EQ(x.begins.has_value(), y.begins.has_value());
    if (x.begins.has_value()) ExpectSame(*x.begins, *y.begins);
    ASSERT_EQ(x.mask != nullptr, y.mask != nullptr);
    if (x.mask != nullptr) {
      EXPECT_EQ(*x.mask, *y.mask);
    }
    EXPECT_EQ(x.prompt_logprobs, y.prompt_logprobs);
    EXPECT_EQ(x.next_prompt_token, y.next_prompt_token);
  }
}

TEST(ControlConvertTest, StepPlansCrossTheWireUnchanged) {
  for (int seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const StepPlan plan = RandomPlan(random);
    const auto back = RoundTrip(CoordinatorMessage(plan));
    ASSERT_TRUE(back.ok()) << back.status();
    ExpectSame(plan, std::get<StepPlan>(*back));
  }
}

TEST(ControlConvertTest, StepResultsCrossTheWireUnchanged) {
  for (int seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const StepResult result = RandomResult(random);
    const auto back = RoundTrip(WorkerMessage(result));
    ASSERT_TRUE(back.ok()) << back.status();
    const StepResult& got = std::get<StepResult>(*back);
    EXPECT_EQ(got.step, result.step);
    EXPECT_EQ(got.compute, result.compute);
    ASSERT_EQ(got.tokens.size(), result.tokens.size());
    for (size_t i = 0; i < result.tokens.size(); ++i) {
      EXPECT_EQ(got.tokens[i].sequence, result.tokens[i].sequence);
      EXPECT_EQ(got.tokens[i].token, result.tokens[i].token);
      EXPECT_EQ(got.tokens[i].logprob, result.tokens[i].logprob);
      ExpectSame(got.tokens[i].top, result.tokens[i].top);
    }
  }
}

TEST(ControlConvertTest, PromptLogprobsCrossTheWireInPieces) {
  for (int seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::vector<PromptLogprob> all = RandomPromptLogprobs(random);
    for (int64_t max_entries : {1, 2, 5, 1000}) {
      std::vector<PromptLogprob> joined;
      for (const PromptLogprobsPiece& piece :
           CutPromptLogprobs(8, all, max_entries)) {
        const auto back = RoundTrip(WorkerMessage(piece));
        ASSERT_TRUE(back.ok()) << back.status();
        const auto& got = std::get<PromptLogprobsPiece>(*back);
        EXPECT_EQ(got.step, 8u);
        EXPECT_GE(got.logprobs.size(), 1u);
        EXPECT_LE(static_cast<int64_t>(got.logprobs.size()), max_entries);
        joined.insert(joined.end(), got.logprobs.begin(), got.logprobs.end());
      }
      ASSERT_EQ(joined.size(), all.size());
      for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(joined[i].sequence, all[i].sequence);
        EXPECT_EQ(joined[i].position, all[i].position);
        EXPECT_EQ(joined[i].token, all[i].token);
        EXPECT_EQ(joined[i].logprob, all[i].logprob);
        ExpectSame(joined[i].top, all[i].top);
      }
    }
  }
}

// The largest pieces there are, with the longest numbers.
TEST(ControlConvertTest, PiecesAreWellBelowTheLimitOfAMessage) {
  PromptLogprob entry;
  entry.sequence = {std::numeric_limits<uint64_t>::max()};
  entry.position = int64_t{1} << 40;
  entry.token = std::numeric_limits<int32_t>::max();
  entry.logprob = -1.5f;
  entry.top.assign(64, {std::numeric_limits<int32_t>::max(), -1.5f});
  const auto pieces =
      CutPromptLogprobs(1, std::vector<PromptLogprob>(5000, entry));
  EXPECT_LT(ToProto(WorkerMessage(pieces[0])).ByteSizeLong(),
            kMaxWorkerMessageBytes / 2u);
  LogitsBlock block{{1}, 0, 1, 0, kMaxPieceValues * 2, {}};
  block.values.assign(kMaxPieceValues * 2, 1.5f);
  EXPECT_LT(ToProto(WorkerMessage(CutLogits(1, block)[0])).ByteSizeLong(),
            kMaxWorkerMessageBytes * 3u / 4);
}

// One slice of each kind, in its longest numbers.
StepPlan LongPlan(int slices) {
  StepPlan plan;
  plan.step = plan.completed = std::numeric_limits<uint64_t>::max();
  SequenceSlice slice;
  slice.sequence = {std::numeric_limits<uint64_t>::max()};
  slice.tokens = {kSampledToken};
  slice.start = slice.sliding_first_page = int64_t{1} << 40;
  slice.new_sliding_pages.assign(3, {std::numeric_limits<int32_t>::max()});
  slice.new_global_pages = slice.new_sliding_pages;
  slice.sample = true;
  slice.sampling = {1, 1 << 30, 0.5f, 0.5f, ~uint64_t{0}, true, 64, 2, 1, 1};
  slice.begins = SequenceStart();
  slice.begins->prompt_tokens = int64_t{1} << 40;
  slice.begins->late_position = int64_t{1} << 40;
  slice.begins->earlier_tokens.assign(70, 1 << 30);
  slice.begins->late_tokens.assign(70, 1 << 30);
  slice.begins->logit_bias.assign(70, {1 << 30, 1.5f});
  slice.mask = std::make_shared<TokenMask>(100, ~uint64_t{0});
  slice.logits = LogitsWanted::kAll;
  slice.prompt_logprobs = 64;
  slice.next_prompt_token = std::numeric_limits<int32_t>::max();
  plan.slices.assign(slices, slice);
  for (SequenceSlice& copy : plan.slices) {
    copy.mask = std::make_shared<TokenMask>(*slice.mask);
  }
  plan.finished.assign(slices, {std::numeric_limits<uint64_t>::max()});
  return plan;
}

TEST(ControlConvertTest, APlanThatFitsIsBelowTheLimitOfAMessage) {
  const auto bytes = [](const StepPlan& plan) {
    return ToProto(CoordinatorMessage(plan)).ByteSizeLong();
  };
  int fits = 1;
  int too_many = 1 << 16;
  while (too_many - fits > 200) {
    const int slices = (fits + too_many) / 2;
    (CheckFitsMessage(LongPlan(slices)).ok() ? fits : too_many) = slices;
  }
  EXPECT_LT(bytes(LongPlan(fits)), size_t{kMaxCoordinatorMessageBytes});
  // The estimate is no more than half again the truth.
  EXPECT_GT(bytes(LongPlan(fits)), size_t{kMaxCoordinatorMessageBytes} * 2 / 3);
  const absl::Status status = CheckFitsMessage(LongPlan(too_many));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fewer sequences"));

  StepPlan masked;
  masked.slices.resize(1000);
  for (SequenceSlice& slice : masked.slices) {
    slice.tokens = {1};
    slice.mask = std::make_shared<TokenMask>((1 << 18) / 64);
  }
  EXPECT_TRUE(CheckFitsMessage(masked).ok());
}

TEST(ControlConvertTest, RegistrationsCrossTheWireUnchanged) {
  for (int seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const WorkerRegistration in = RandomRegistration(random);
    const auto back = RoundTrip(WorkerMessage(in));
    ASSERT_TRUE(back.ok()) << back.status();
    const auto& out = std::get<WorkerRegistration>(*back);
    EXPECT_EQ(out.join_token, in.join_token);
    EXPECT_EQ(out.build_id, in.build_id);
    EXPECT_EQ(out.isa, in.isa);
    ASSERT_EQ(out.modes.size(), in.modes.size());
    for (size_t i = 0; i < in.modes.size(); ++i) {
      EXPECT_EQ(out.modes[i].mode, in.modes[i].mode);
      EXPECT_EQ(out.modes[i].numerics, in.modes[i].numerics);
    }
    EXPECT_EQ(out.hostname, in.hostname);
    EXPECT_EQ(out.endpoint.host_id, in.endpoint.host_id);
    EXPECT_EQ(out.endpoint.address, in.endpoint.address);
    EXPECT_EQ(out.cpus, in.cpus);
    EXPECT_EQ(out.memory_bytes, in.memory_bytes);
    EXPECT_EQ(out.pid, in.pid);
    EXPECT_EQ(out.grow, in.grow);
    EXPECT_EQ(out.device, in.device);
  }
}

TEST(ControlConvertTest, AssignmentsCrossTheWireUnchanged) {
  for (int seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const WorkerAssignment in = RandomAssignment(random);
    const auto back = RoundTrip(CoordinatorMessage(in));
    ASSERT_TRUE(back.ok()) << back.status();
    const auto& out = std::get<WorkerAssignment>(*back);
    EXPECT_EQ(out.model_directory, in.model_directory);
    EXPECT_EQ(out.parallelism.pp_size, in.parallelism.pp_size);
    EXPECT_EQ(out.parallelism.tp_size, in.parallelism.tp_size);
    EXPECT_EQ(out.parallelism.ep_size, in.parallelism.ep_size);
    EXPECT_EQ(out.parallelism.stage_layers, in.parallelism.stage_layers);
    EXPECT_EQ(out.rank, in.rank);
    ASSERT_EQ(out.endpoints.size(), in.endpoints.size());
    for (size_t i = 0; i < in.endpoints.size(); ++i) {
      EXPECT_EQ(out.endpoints[i].host_id, in.endpoints[i].host_id);
      EXPECT_EQ(out.endpoints[i].address, in.endpoints[i].address);
    }
    EXPECT_EQ(out.world_key, in.world_key);
    EXPECT_EQ(out.epoch, in.epoch);
    EXPECT_EQ(out.numerics, in.numerics);
    EXPECT_EQ(out.pools.page_tokens, in.pools.page_tokens);
    EXPECT_EQ(out.pools.sliding_pages, in.pools.sliding_pages);
    EXPECT_EQ(out.pools.global_pages, in.pools.global_pages);
    EXPECT_EQ(out.max_step_tokens, in.max_step_tokens);
    EXPECT_EQ(out.threads, in.threads);
    EXPECT_EQ(out.cpus, in.cpus);
    EXPECT_EQ(out.check_weights, in.check_weights);
    EXPECT_EQ(out.comm_timeout, in.comm_timeout);
    EXPECT_EQ(out.heartbeat_interval, in.heartbeat_interval);
    EXPECT_EQ(out.heartbeat_timeout, in.heartbeat_timeout);
  }
}

TEST(ControlConvertTest, HeartbeatsCrossTheWireUnchanged) {
  EXPECT_FALSE(
      std::get<Heartbeat>(*FromProto(ToProto(WorkerMessage(Heartbeat{}))))
          .activity.has_value());
  RankActivity said;
  said.running = true;
  said.step = 7;
  said.since = absl::Milliseconds(1500);
  said.layer = 0;
  said.operation = "#3 send 8 B to rank 1";
  said.waits_for = 0;
  said.waits = absl::Milliseconds(20);
  said.moves = 99;
  said.calls = "#2 send; #3 send";
  const auto heard = FromProto(ToProto(WorkerMessage(Heartbeat{said})));
  ASSERT_TRUE(heard.ok()) << heard.status();
  const RankActivity& found = *std::get<Heartbeat>(*heard).activity;
  EXPECT_TRUE(found.running);
  EXPECT_EQ(found.step, said.step);
  EXPECT_EQ(found.since, said.since);
  EXPECT_EQ(found.layer, said.layer);
  EXPECT_EQ(found.operation, said.operation);
  EXPECT_EQ(found.waits_for, said.waits_for);
  EXPECT_EQ(found.waits, said.waits);
  EXPECT_EQ(found.moves, said.moves);
  EXPECT_EQ(found.calls, said.calls);
}

TEST(ControlConvertTest, AnActivityThatNobodyShouldReadIsRefused) {
  const auto refused = [](const std::function<void(v1::Activity&)>& change) {
    v1::WorkerMessage message;
    change(*message.mutable_heartbeat()->mutable_activity());
    return FromProto(message).status().code() ==
           absl::StatusCode::kInvalidArgument;
  };
  EXPECT_FALSE(refused([](v1::Activity&) {}));
  EXPECT_TRUE(refused([](v1::Activity& a) { a.set_operation("\033[2J"); }));
  EXPECT_TRUE(
      refused([](v1::Activity& a) { a.set_operation(std::string(500, 'x')); }));
  EXPECT_TRUE(
      refused([](v1::Activity& a) { a.set_calls(std::string(5000, 'x')); }));
  EXPECT_TRUE(refused([](v1::Activity& a) { a.set_calls("a\nb"); }));
  EXPECT_TRUE(refused([](v1::Activity& a) { a.set_layer(-2); }));
  EXPECT_TRUE(refused([](v1::Activity& a) { a.set_waits_for(1 << 20); }));
  EXPECT_TRUE(refused([](v1::Activity& a) { a.set_since_ms(-1); }));
  EXPECT_TRUE(
      refused([](v1::Activity& a) { a.set_waits_ms(int64_t{1} << 60); }));
}

TEST(ControlConvertTest, ErrorsKeepCodeAndMessage) {
  const absl::Status status = absl::DataLossError("model.safetensors: short");
  const auto failed = RoundTrip(WorkerMessage(WorkerFailed{status}));
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(std::get<WorkerFailed>(*failed).status, status);
  const auto refused = RoundTrip(CoordinatorMessage(WorkerRefused{status}));
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(std::get<WorkerRefused>(*refused).status, status);
}

TEST(ControlConvertTest, PiecesOfABlockJoinToTheBlock) {
  for (int64_t rows : {0, 1, 2, 5}) {
    for (int64_t max_values : {1, 3, 7, 1000}) {
      LogitsBlock block;
      block.sequence = {9};
      block.first_position = 40;
      block.rows = rows;
      block.vocab_begin = 100;
      block.vocab_end = 107;
      for (int64_t i = 0; i < rows * 7; ++i) {
        block.values.push_back(0.5f * static_cast<float>(i));
      }
      std::vector<float> joined;
      for (const LogitsPiece& piece : CutLogits(3, block, max_values)) {
        EXPECT_LE(static_cast<int64_t>(piece.values.size()), max_values);
        const auto back = RoundTrip(WorkerMessage(piece));
        ASSERT_TRUE(back.ok()) << back.status();
        const LogitsPiece& got = std::get<LogitsPiece>(*back);
        EXPECT_EQ(got.step, 3u);
        EXPECT_EQ(got.offset, static_cast<int64_t>(joined.size()));
        EXPECT_EQ(got.block.rows, rows);
        EXPECT_EQ(got.block.vocab_end, 107);
        joined.insert(joined.end(), got.values.begin(), got.values.end());
      }
      EXPECT_EQ(joined, block.values);
    }
  }
}

// What a broken peer may send, and the word its refusal must hold.
struct BadPlan {
  const char* name;
  std::function<void(v1::StepPlan::Slice&)> spoil;
  const char* field;
};

TEST(ControlConvertTest, RefusalOfAPlanNamesTheField) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const BadPlan cases[] = {
      {"no tokens", [](auto& s) { s.clear_tokens(); }, "slices.tokens"},
      {"token", [](auto& s) { s.add_tokens(-1); }, "slices.tokens is -1"},
      {"start", [](auto& s) { s.set_start(-3); }, "slices.start is -3"},
      {"far", [](auto& s) { s.set_start(int64_t{1} << 41); }, "slices.start"},
      {"sliding", [](auto& s) { s.add_new_sliding_pages(-1); },
       "slices.new_sliding_pages"},
      {"global", [](auto& s) { s.add_new_global_pages(-1); },
       "slices.new_global_pages"},
      {"first", [](auto& s) { s.set_sliding_first_page(-1); },
       "slices.sliding_first_page"},
      {"heat", [&](auto& s) { s.mutable_sampling()->set_temperature(nan); },
       "temperature"},
      {"top_p", [&](auto& s) { s.mutable_sampling()->set_top_p(nan); },
       "top_p"},
      {"top_p 0", [&](auto& s) { s.mutable_sampling()->set_top_p(0); },
       "top_p"},
      {"min_p", [&](auto& s) { s.mutable_sampling()->set_min_p(1); }, "min_p"},
      {"top_k", [&](auto& s) { s.mutable_sampling()->set_top_k(-1); }, "top_k"},
      {"tops", [&](auto& s) { s.mutable_sampling()->set_top_logprobs(65); },
       "top_logprobs"},
      {"placeholder", [](auto& s) { s.set_tokens(1, -1); },
       "slices.tokens is -1"},
      {"repetition",
       [&](auto& s) { s.mutable_sampling()->set_repetition_penalty(0); },
       "repetition_penalty"},
      {"repetition NaN",
       [&](auto& s) { s.mutable_sampling()->set_repetition_penalty(nan); },
       "repetition_penalty"},
      {"presence",
       [&](auto& s) { s.mutable_sampling()->set_presence_penalty(nan); },
       "presence_penalty"},
      {"frequency",
       [&](auto& s) { s.mutable_sampling()->set_frequency_penalty(2.1f); },
       "frequency_penalty"},
      {"mask", [](auto& s) { s.set_mask(0); }, "slices.mask is 0"},
      {"mask -1", [](auto& s) { s.set_mask(-1); }, "slices.mask is -1"},
      {"prompt", [](auto& s) { s.set_prompt_logprobs(65); },
       "slices.prompt_logprobs"},
      {"no prompt", [](auto& s) { s.set_prompt_logprobs(-1); },
       "slices.prompt_logprobs"},
      {"next", [](auto& s) { s.set_next_prompt_token(-2); },
       "slices.next_prompt_token"},
      {"begins", [](auto& s) { s.mutable_begins()->set_prompt_tokens(-1); },
       "slices.begins.prompt_tokens"},
      {"earlier", [](auto& s) { s.mutable_begins()->add_earlier_tokens(-1); },
       "slices.begins.earlier_tokens"},
      {"lone bias", [](auto& s) { s.mutable_begins()->add_biases(1); },
       "slices.begins.biases"},
      {"biased", [](auto& s) { s.mutable_begins()->add_bias_tokens(1); },
       "slices.begins.biases"},
      {"bias token",
       [](auto& s) {
         s.mutable_begins()->add_bias_tokens(-1);
         s.mutable_begins()->add_biases(1);
       },
       "slices.begins.bias_tokens"},
      {"bias",
       [&](auto& s) {
         s.mutable_begins()->add_bias_tokens(1);
         s.mutable_begins()->add_biases(nan);
       },
       "slices.begins.biases"},
      {"late", [](auto& s) { s.mutable_begins()->add_late_tokens(-1); },
       "slices.begins.late_tokens"},
      {"late at", [](auto& s) { s.mutable_begins()->set_late_position(-1); },
       "slices.begins.late_position"},
      {"logits",
       [](auto& s) { s.set_logits(static_cast<v1::StepPlan::Logits>(3)); },
       "slices.logits"},
  };
  for (const BadPlan& bad : cases) {
    SCOPED_TRACE(bad.name);
    StepPlan plan;
    plan.slices.resize(1);
    plan.slices[0].tokens = {1, 2};
    plan.slices[0].sample = true;
    v1::CoordinatorMessage proto = ToProto(plan);
    ASSERT_TRUE(FromProto(proto).ok());
    bad.spoil(*proto.mutable_step_plan()->mutable_slices(0));
    const absl::Status status = FromProto(proto).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
}

struct BadAssignment {
  std::function<void(v1::Assignment&)> spoil;
  const char* field;
};

TEST(ControlConvertTest, RefusalOfAnAssignmentNamesTheField) {
  const BadAssignment cases[] = {
      {[](auto& a) { a.set_pp_size(0); }, "pp_size"},
      {[](auto& a) { a.set_tp_size(1 << 20); }, "tp_size"},
      {[](auto& a) { a.set_ep_size(-1); }, "ep_size"},
      {[](auto& a) { a.add_stage_layers(0); }, "stage_layers"},
      {[](auto& a) { a.clear_endpoints(); }, "endpoints"},
      {[](auto& a) { a.set_rank(1000); }, "rank"},
      {[](auto& a) { a.clear_numerics(); }, "numerics.activations"},
      {[](auto& a) {
         a.mutable_numerics()->set_activations(v1::Numerics::ACTIVATIONS_F32);
         a.mutable_numerics()->set_fast(true);
       },
       "numerics.fast"},
      {[](auto& a) { a.set_page_tokens(0); }, "page_tokens"},
      {[](auto& a) { a.set_sliding_pages(-1); }, "sliding_pages"},
      {[](auto& a) { a.set_global_pages(-1); }, "global_pages"},
      {[](auto& a) { a.set_max_step_tokens(0); }, "max_step_tokens"},
      {[](auto& a) { a.set_threads(0); }, "threads"},
      {[](auto& a) { a.mutable_cpus()->Resize(1000, 0); }, "cpus"},
      {[](auto& a) { a.set_comm_timeout_ms(0); }, "comm_timeout_ms"},
      {[](auto& a) { a.set_heartbeat_interval_ms(-1); },
       "heartbeat_interval_ms"},
      {[](auto& a) { a.set_heartbeat_timeout_ms(0); }, "heartbeat_timeout_ms"},
      {[](auto& a) { a.set_world_key(std::string(5000, 'k')); }, "world_key"},
  };
  Random random(1);
  for (const BadAssignment& bad : cases) {
    SCOPED_TRACE(bad.field);
    v1::CoordinatorMessage proto =
        ToProto(CoordinatorMessage(RandomAssignment(random)));
    ASSERT_TRUE(FromProto(proto).ok());
    bad.spoil(*proto.mutable_assignment());
    const absl::Status status = FromProto(proto).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
}

TEST(ControlConvertTest, RefusalOfAPieceNamesTheField) {
  LogitsBlock block{{1}, 0, 1, 0, 4, {1, 2, 3, 4}};
  v1::WorkerMessage good = ToProto(WorkerMessage(CutLogits(1, block)[0]));
  ASSERT_TRUE(FromProto(good).ok());
  const std::vector<
      std::pair<const char*, std::function<void(v1::LogitsPiece&)>>>
      cases = {
          {"rows", [](auto& p) { p.set_rows(-1); }},
          {"first_position", [](auto& p) { p.set_first_position(-1); }},
          {"vocab_begin", [](auto& p) { p.set_vocab_begin(-1); }},
          {"vocab_end", [](auto& p) { p.set_vocab_end(-1); }},
          {"offset", [](auto& p) { p.set_offset(1); }},
          {"offset", [](auto& p) { p.set_offset(-1); }},
          {"offset", [](auto& p) { p.set_rows(0); }},
      };
  for (const auto& [field, spoil] : cases) {
    SCOPED_TRACE(field);
    v1::WorkerMessage proto = good;
    spoil(*proto.mutable_logits_piece());
    const absl::Status status = FromProto(proto).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
}

TEST(ControlConvertTest, RefusalOfPromptLogprobsNamesTheField) {
  PromptLogprobsPiece piece{3, {{{1}, 4, 5, -0.5f, {{5, -0.5f}}}}};
  const v1::WorkerMessage good = ToProto(WorkerMessage(piece));
  ASSERT_TRUE(FromProto(good).ok());
  using Entry = v1::PromptLogprobs::Entry;
  const std::vector<std::pair<const char*, std::function<void(Entry&)>>> cases =
      {
          {"entries.position", [](Entry& e) { e.set_position(-1); }},
          {"entries.token", [](Entry& e) { e.set_token(-1); }},
          {"entries.top_tokens", [](Entry& e) { e.set_top_tokens(0, -1); }},
          {"entries.top_logprobs", [](Entry& e) { e.add_top_tokens(1); }},
          {"entries.top_tokens",
           [](Entry& e) { e.mutable_top_tokens()->Resize(65, 1); }},
      };
  for (const auto& [field, spoil] : cases) {
    SCOPED_TRACE(field);
    v1::WorkerMessage proto = good;
    spoil(*proto.mutable_prompt_logprobs()->mutable_entries(0));
    const absl::Status status = FromProto(proto).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
  v1::WorkerMessage many = good;
  for (int i = 0; i < 1024; ++i) many.mutable_prompt_logprobs()->add_entries();
  EXPECT_THAT(std::string(FromProto(many).status().message()),
              HasSubstr("entries has 1025 entries, at most 1024"));
}

TEST(ControlConvertTest, SequencesThatShareAMaskSendItOnce) {
  StepPlan plan;
  plan.slices.resize(5);
  for (SequenceSlice& slice : plan.slices) slice.tokens = {1};
  plan.slices[0].mask = std::make_shared<TokenMask>(4096, 7);
  plan.slices[2].mask = std::make_shared<TokenMask>(4096, 8);
  plan.slices[3].mask = plan.slices[0].mask;
  plan.slices[4].mask = std::make_shared<TokenMask>();
  EXPECT_EQ(ToProto(CoordinatorMessage(plan)).step_plan().masks_size(), 3);
  const auto back = RoundTrip(CoordinatorMessage(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  const auto& got = std::get<StepPlan>(*back);
  ExpectSame(plan, got);
  EXPECT_EQ(got.slices[0].mask, got.slices[3].mask);
}

TEST(ControlConvertTest, MasksThatAreNoWordsAreRefused) {
  for (const size_t size : {7, 3 << 20}) {
    v1::CoordinatorMessage proto;
    proto.mutable_step_plan()->add_masks(std::string(size, 'm'));
    EXPECT_THAT(std::string(FromProto(proto).status().message()),
                HasSubstr(absl::StrCat("masks is ", size)));
  }
}

TEST(ControlConvertTest, MoreSlicesThanAnyStepHasAreRefused) {
  v1::CoordinatorMessage proto;
  for (int i = 0; i <= 1 << 16; ++i) proto.mutable_step_plan()->add_slices();
  EXPECT_THAT(std::string(FromProto(proto).status().message()),
              HasSubstr("slices has 65537 entries, at most 65536"));
}

TEST(ControlConvertTest, EmptyMessagesAreRefused) {
  EXPECT_FALSE(FromProto(v1::WorkerMessage()).ok());
  EXPECT_FALSE(FromProto(v1::CoordinatorMessage()).ok());
  v1::WorkerMessage failed;
  failed.mutable_failed()->set_code(0);
  EXPECT_FALSE(FromProto(failed).ok());
}

// Any bytes that parse as a message are either taken or refused.
TEST(ControlConvertTest, RandomBytesNeverBreakTheBorder) {
  Random random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes =
        ToProto(WorkerMessage(RandomRegistration(random))).SerializeAsString();
    if (i % 4 == 1) {
      bytes = ToProto(CoordinatorMessage(RandomAssignment(random)))
                  .SerializeAsString();
    } else if (i % 4 == 2) {
      bytes =
          ToProto(CoordinatorMessage(RandomPlan(random))).SerializeAsString();
    } else if (i % 4 == 3) {
      bytes = ToProto(WorkerMessage(
                          PromptLogprobsPiece{1, RandomPromptLogprobs(random)}))
                  .SerializeAsString();
    }
    for (int flips = 0; flips < 4; ++flips) {
      bytes[random.Int(0, static_cast<int64_t>(bytes.size()) - 1)] =
          static_cast<char>(random.Int(0, 255));
    }
    v1::WorkerMessage worker;
    if (worker.ParseFromString(bytes)) (void)FromProto(worker).ok();
    v1::CoordinatorMessage coordinator;
    if (coordinator.ParseFromString(bytes)) (void)FromProto(coordinator).ok();
  }
}

}  // namespace
}  // namespace facet
