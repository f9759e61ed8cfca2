#include "kernels/cuda/launch_line.h"

#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/emulator.h"

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

}  // namespace
}  // namespace emulated
}  // namespace facet
