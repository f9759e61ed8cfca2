#include "kernels/cuda/launch_line.h"

#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/emulated_stream.h"
#include "kernels/cuda/emulator.h"
#include "kernels/cuda/line_recorder.h"

namespace facet {
namespace emulated {
namespace {

// Order matters, and so does every argument.
void Mix(int64_t* values, int64_t factor, int add) {
  values[blockIdx.x] = values[blockIdx.x] * factor + add;
}
void Turn(int64_t* values, int64_t factor) { values[blockIdx.x] ^= factor; }

// What a step asks for: of each call its kernel, blocks and argument.
struct Asked {
  bool turn;
  unsigned blocks;
  int64_t factor;
};

class LaunchLineTest : public testing::Test {
 protected:
  LaunchLineTest() : stream_(*MakeStream()) { Start(true); }
  ~LaunchLineTest() override {
    line_.reset();
    DestroyStream(stream_);
  }

  void Start(bool graphs) {
    line_ = std::make_unique<LaunchLine>(stream_, graphs, [this] {
      ++sends_;
      return absl::OkStatus();
    });
  }

  void Ask(const std::vector<Asked>& step) {
    line_->BeginStep();
    for (const Asked& call : step) {
      if (call.turn) {
        Launch(Turn, call.blocks, 1, 0, *line_, values_, call.factor);
      } else {
        Launch(Mix, call.blocks, 1, 0, *line_, values_, call.factor, 7);
      }
      for (unsigned b = 0; b < call.blocks; ++b) {
        expected_[b] = call.turn ? expected_[b] ^ call.factor
                                 : expected_[b] * call.factor + 7;
      }
    }
    ASSERT_TRUE(line_->Run().ok());
  }
  void ExpectSame() {
    ASSERT_TRUE(Wait(stream_).ok());
    for (int i = 0; i < kValues; ++i) ASSERT_EQ(values_[i], expected_[i]) << i;
  }

  static constexpr int kValues = 16;
  const Stream stream_;
  std::unique_ptr<LaunchLine> line_;
  int sends_ = 0;
  int64_t values_[kValues] = {};
  int64_t expected_[kValues] = {};
};

std::vector<Asked> Calls(int count, int64_t factor) {
  return std::vector<Asked>(count, {false, 4, factor});
}

TEST_F(LaunchLineTest, ASegmentThatComesBackBecomesAGraph) {
  for (int step = 0; step < 5; ++step) Ask(Calls(20, 3));
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 1);
  EXPECT_EQ(line_->counts().graphs_run, 4);
  EXPECT_EQ(line_->counts().calls_changed, 0);
  EXPECT_EQ(line_->counts().alone, 20);
  EXPECT_EQ(line_->counts().kernels, 100);
  EXPECT_EQ(sends_, 5) << "inputs travel before each of them";
}

TEST_F(LaunchLineTest, WhatDiffersIsChangedAndOnlyThat) {
  for (int64_t step = 0; step < 6; ++step) {
    std::vector<Asked> calls = Calls(20, 3);
    calls[4].factor = step;
    calls[9].blocks = static_cast<unsigned>(1 + step % 2);
    Ask(calls);
  }
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 1);
  EXPECT_EQ(line_->counts().calls_changed, 2 * 4);
}

TEST_F(LaunchLineTest, AStepOfAnotherSizeGetsAGraphOfItsOwn) {
  for (int step = 0; step < 6; ++step) Ask(Calls(20, 3 + step % 2));
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 2);
  EXPECT_EQ(line_->counts().calls_changed, 0);
}

TEST_F(LaunchLineTest, GraphsAreFewHoweverManySizesThereAre) {
  for (int step = 0; step < 50; ++step) Ask(Calls(20, step));
  ExpectSame();
  EXPECT_LE(line_->counts().graphs_made, 8);
}

TEST_F(LaunchLineTest, AFewKernelsAreNoGraph) {
  for (int step = 0; step < 4; ++step) Ask(Calls(3, 5));
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 0);
  EXPECT_EQ(line_->counts().alone, 12);
}

TEST_F(LaunchLineTest, WithoutGraphsEveryKernelRunsByItself) {
  Start(false);
  for (int step = 0; step < 4; ++step) Ask(Calls(20, 5));
  ExpectSame();
  EXPECT_EQ(line_->counts().alone, 80);
}

// Steps are asked for before earlier ones have run; graphs under way must keep
// the arguments they were started with.
TEST_F(LaunchLineTest, AnyStepsComeToWhatCallsOneByOneDo) {
  std::mt19937_64 random(11);
  const auto draw = [&](int64_t below) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(below));
  };
  std::vector<std::vector<Asked>> kinds;
  for (int kind = 0; kind < 12; ++kind) {
    std::vector<Asked> calls;
    const int64_t count = 1 + draw(150);
    for (int64_t i = 0; i < count; ++i) {
      calls.push_back({draw(3) == 0, static_cast<unsigned>(1 + draw(kValues)),
                       2 + draw(5)});
    }
    kinds.push_back(calls);
  }
  for (int step = 0; step < 400; ++step) {
    std::vector<Asked> calls = kinds[draw(12)];
    for (Asked& call : calls) {
      if (draw(20) == 0) call.factor = draw(100);
      if (draw(40) == 0) call.blocks = static_cast<unsigned>(draw(kValues));
    }
    Ask(calls);
    if (draw(10) == 0) ExpectSame();
  }
  ExpectSame();
  EXPECT_GT(line_->counts().graphs_run, 100);
  EXPECT_GT(line_->counts().calls_changed, 100);
}

// What a library would ask of a stream; messages are counted by what they do.
class MessagesTest : public LaunchLineTest {
 protected:
  MessagesTest() : recorder_(line_.get(), [] {}) {
    recorder_.OnHandedOver([this] { ++handed_over_; });
    messages_.resize(2);
    for (int m = 0; m < 2; ++m) {
      messages_[m] = *recorder_.Record([&](void* stream) {
        EXPECT_TRUE(IsRecording(static_cast<Stream>(stream)));
        AskOf(static_cast<Stream>(stream),
              [this, m, token = token_] { Message(m); });
        return absl::OkStatus();
      });
    }
  }
  ~MessagesTest() override { Abilities().messages_in_graphs = true; }

  void Message(int64_t m) {
    for (int i = 0; i < kValues; ++i) values_[i] = values_[i] * 5 + m;
    ++ran_;
  }
  // Kernels, a message, kernels.
  void AskWithMessage(int m, int64_t factor) {
    line_->BeginStep();
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 6; ++i) {
        Launch(Mix, kValues, 1, 0, *line_, values_, factor, 7);
        for (int64_t& value : expected_) value = value * factor + 7;
      }
      if (half == 1) continue;
      recorder_.Run(messages_[m]);
      for (int64_t& value : expected_) value = value * 5 + m;
    }
    line_->Run().IgnoreError();
  }

  std::shared_ptr<int> token_ = std::make_shared<int>();
  LineRecorder recorder_;
  std::vector<int> messages_;
  int ran_ = 0;
  int handed_over_ = 0;
};

TEST_F(MessagesTest, RecordingRunsNothing) {
  ASSERT_TRUE(Wait(stream_).ok());
  EXPECT_EQ(ran_, 0);
  EXPECT_TRUE(recorder_.ready());
}

TEST_F(MessagesTest, AMessageIsPartOfTheGraphThatComesBack) {
  for (int step = 0; step < 5; ++step) AskWithMessage(0, 3);
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 1);
  EXPECT_EQ(line_->counts().graphs_run, 4);
  EXPECT_EQ(line_->counts().kernels, 5 * 13);
  EXPECT_EQ(line_->counts().messages, 5);
  EXPECT_EQ(line_->counts().messages_alone, 1);
  EXPECT_EQ(handed_over_, 5);
}

TEST_F(MessagesTest, KernelsAroundAMessageChangeAndTheMessageDoesNot) {
  for (int64_t step = 0; step < 6; ++step) AskWithMessage(0, step / 3);
  ExpectSame();
  EXPECT_EQ(ran_, 6);
}

TEST_F(MessagesTest, AnotherMessageIsAnotherGraph) {
  for (int step = 0; step < 8; ++step) AskWithMessage(step / 2 % 2, 3);
  ExpectSame();
  EXPECT_EQ(line_->counts().graphs_made, 2);
}

TEST_F(MessagesTest, ARuntimeThatRefusesMessagesInGraphsRunsThemBetween) {
  Abilities().messages_in_graphs = false;
  for (int step = 0; step < 4; ++step) AskWithMessage(0, 3);
  EXPECT_FALSE(recorder_.ready());
  for (int step = 0; step < 4; ++step) Ask(Calls(20, 3));
  ExpectSame();
  EXPECT_EQ(line_->counts().refused, 1);
  EXPECT_EQ(line_->counts().messages_alone, 4);
  EXPECT_EQ(line_->counts().graphs_made, 1) << "of kernels alone";
}

TEST_F(MessagesTest, NothingIsLeftOfThemOnceTheyAreLetGoOf) {
  for (int step = 0; step < 5; ++step) AskWithMessage(step % 2, 3);
  ASSERT_TRUE(Wait(stream_).ok());
  EXPECT_GT(token_.use_count(), 1);
  recorder_.Forget();
  EXPECT_EQ(token_.use_count(), 1);
  for (int step = 0; step < 4; ++step) Ask(Calls(20, 3));
  ExpectSame();
  EXPECT_EQ(ran_, 5);
}

// As they end with a world: what is under way still runs, what is not never
// does.
TEST_F(MessagesTest, WhatRunsMayBeLetGoOf) {
  for (int step = 0; step < 3; ++step) AskWithMessage(0, 3);
  recorder_.Run(messages_[1]);
  recorder_.Forget();
  EXPECT_EQ(line_->Run().code(), absl::StatusCode::kCancelled);
  ExpectSame();
  EXPECT_EQ(ran_, 3);
  EXPECT_EQ(token_.use_count(), 1);
}

TEST_F(MessagesTest, ALibraryThatFailsLeavesNothing) {
  const auto failed = recorder_.Record([&](void* stream) {
    AskOf(static_cast<Stream>(stream), [token = token_] {});
    return absl::InternalError("a library's words");
  });
  EXPECT_EQ(failed.status().message(), "a library's words");
  const auto nothing = recorder_.Record([](void*) { return absl::OkStatus(); });
  EXPECT_EQ(nothing.status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(token_.use_count(), 1 + 2) << "those of two messages";
}

}  // namespace
}  // namespace emulated
}  // namespace facet
