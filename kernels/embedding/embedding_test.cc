#include "kernels/embedding/embedding.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace facet {
namespace {

constexpr int64_t kVocab = 50;

// A table that starts `offset` bytes into its buffer: mapped checkpoints align
// nothing.
struct Table {
  Table(int64_t stride, DType dtype, int offset, uint32_t seed)
      : stride(stride), dtype(dtype), offset(offset), values(kVocab * stride) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    bytes.resize(offset + values.size() * SizeOf(dtype));
    uint8_t* out = bytes.data() + offset;
    for (float& v : values) {
      const BF16 rounded = ToBF16(normal(random));
      v = ToFloat(rounded);
      if (dtype == DType::kBF16) {
        std::memcpy(out, &rounded.bits, 2);
      } else {
        std::memcpy(out, &v, 4);
      }
      out += SizeOf(dtype);
    }
  }

  EmbeddingArgs Args(const std::vector<int32_t>& rows, int64_t column,
                     int64_t width, std::vector<float>& y) const {
    y.assign(rows.size() * width, -1.0f);
    EmbeddingArgs args;
    args.rows = rows;
    args.table = bytes.data() + offset;
    args.dtype = dtype;
    args.table_stride = stride;
    args.column = column;
    args.width = width;
    args.scale = 7.25f;
    args.y = y.data();
    args.y_stride = width;
    return args;
  }

  int64_t stride;
  DType dtype;
  int offset;
  std::vector<float> values;
  std::vector<uint8_t> bytes;
};

class EmbeddingTest : public testing::TestWithParam<EmbeddingVariant> {};

TEST_P(EmbeddingTest, GathersTheNamedRowsAtAnyColumnWidthAndAlignment) {
  const std::vector<int32_t> rows = {3, 49, 0, 3, 17};
  for (DType dtype : {DType::kBF16, DType::kF32}) {
    for (int offset : {0, 1, 2, 6}) {
      for (int64_t width : {1, 15, 16, 17, 96, 100}) {
        for (int64_t column : {0, 1, 20}) {
          const Table table(130, dtype, offset, 1);
          std::vector<float> y;
          GetParam().run(table.Args(rows, column, width, y), 0, 5);
          for (size_t t = 0; t < rows.size(); ++t) {
            for (int64_t i = 0; i < width; ++i) {
              ASSERT_EQ(y[t * width + i],
                        7.25f * table.values[rows[t] * 130 + column + i])
                  << Name(dtype) << " offset " << offset << " width " << width;
            }
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, EmbeddingTest,
                         testing::ValuesIn(EmbeddingVariants()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(EmbeddingDispatchTest, ThreadsChangeNoBit) {
  const Table table(2560, DType::kBF16, 0, 1);
  std::vector<int32_t> rows(100);
  for (int i = 0; i < 100; ++i) rows[i] = i * 7 % kVocab;
  std::vector<float> one, three;
  ThreadPool one_thread(1), three_threads(3);
  Embedding(table.Args(rows, 0, 2560, one), one_thread);
  Embedding(table.Args(rows, 0, 2560, three), three_threads);
  EXPECT_EQ(one, three);
}

TEST(EmbeddingDispatchTest, NoTokensWriteNothing) {
  ThreadPool pool(2);
  EmbeddingArgs args;
  args.width = 16;
  Embedding(args, pool);
}

}  // namespace
}  // namespace facet
