#include "scheduler/simulate/trace.h"

#include "gtest/gtest.h"

namespace facet {
namespace {

TEST(TraceTest, JsonLinesAndCsvSayTheSame) {
  const absl::StatusOr<Workload> json = ParseTrace(
      "\n{\"arrival_s\": 2, \"prompt_tokens\": 30, \"output_tokens\": 4, "
      "\"priority\": -3}\n"
      "{\"arrival_s\": 0.5, \"prompt_tokens\": 20, \"output_tokens\": 8, "
      "\"n\": 2, \"prefix\": \"a\", \"prefix_tokens\": 16, "
      "\"max_tokens\": 9, \"cancel_after_s\": 3, \"deadline_s\": 7.5, "
      "\"conversation\": 12, \"think_s\": 1}\n"
      "{\"failure_s\": 4, \"recovery_s\": 2}\n"
      "{\"failure_s\": 1}\n");
  const absl::StatusOr<Workload> csv = ParseTrace(
      "arrival_s, prompt_tokens, output_tokens, priority, n, prefix, "
      "prefix_tokens, max_tokens, cancel_after_s, deadline_s, conversation, "
      "think_s, failure_s, recovery_s\r\n"
      "2,30,4,-3,,,,,,,,,,\r\n"
      "0.5,20,8,,2,a,16,9,3,7.5,12,1,,\r\n"
      ",,,,,,,,,,,,4,2\r\n"
      ",,,,,,,,,,,,1,\r\n");
  for (const absl::StatusOr<Workload>& workload : {json, csv}) {
    ASSERT_TRUE(workload.ok()) << workload.status();
    ASSERT_EQ(workload->requests.size(), 2u);
    const SimRequest& first = workload->requests[0];
    EXPECT_EQ(first.arrival_s, 0.5);
    EXPECT_EQ(first.prompt_tokens, 20);
    EXPECT_EQ(first.output_tokens, 8);
    EXPECT_EQ(first.max_tokens, 9);
    EXPECT_EQ(first.priority, 0);
    EXPECT_EQ(first.samples, 2);
    EXPECT_EQ(first.prefix, "a");
    EXPECT_EQ(first.prefix_tokens, 16);
    EXPECT_EQ(first.conversation, "12");
    EXPECT_EQ(first.think_s, 1);
    EXPECT_EQ(first.cancel_after_s, 3);
    EXPECT_EQ(first.deadline_s, 7.5);
    const SimRequest& second = workload->requests[1];
    EXPECT_EQ(second.arrival_s, 2);
    EXPECT_EQ(second.priority, -3);
    EXPECT_EQ(second.samples, 1);
    EXPECT_EQ(second.cancel_after_s, kNever);
    EXPECT_EQ(second.deadline_s, kNever);
    ASSERT_EQ(workload->failures.size(), 2u);
    EXPECT_EQ(workload->failures[0].at_s, 1);
    EXPECT_EQ(workload->failures[0].recovery_s, 0);
    EXPECT_EQ(workload->failures[1].at_s, 4);
    EXPECT_EQ(workload->failures[1].recovery_s, 2);
  }
}

TEST(TraceTest, RefusalNamesLineFieldAndWhatIsLegal) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"arrival_s\": 0, \"prompt_tokens\": 0, \"output_tokens\": 1}",
       "line 1: prompt_tokens: \"0\", expected a whole number from 1 to "
       "16777216"},
      {"\n{\"arrival_s\": -1, \"prompt_tokens\": 1, \"output_tokens\": 1}",
       "line 2: arrival_s: \"-1\", expected a number from 0 to 1e+09"},
      {"{\"arrival_s\": 0, \"prompt_tokens\": 1}",
       "line 1: output_tokens is missing"},
      {"{\"arrival_s\": 0,", "line 1: expected an object such as"},
      {"{\"arrival_s\": [0]}",
       "line 1: arrival_s: \"array\", expected a number or a string"},
      {"{\"arrival_s\": 0, \"prompt_tokens\": 1, \"output_tokens\": 1, "
       "\"prompts\": 3}",
       "line 1: prompts: unknown field, legal are arrival_s"},
      {"{\"arrival_s\": 0, \"prompt_tokens\": 1, \"output_tokens\": 1, "
       "\"prefix_tokens\": 3}",
       "line 1: prefix_tokens without a prefix"},
      {"{\"failure_s\": 0, \"arrival_s\": 1}",
       "line 1: arrival_s: a line with failure_s may have recovery_s"},
      {"arrival_s,prompt_tokens,output_tokens\n1,2",
       "line 2: 2 cells, the header names 3"},
      {"arrival_s,prompt_tokens,output_tokens\n1,2,nan",
       "line 2: output_tokens: \"nan\", expected a whole number"},
      {"arrival_s,prompt_tokens,output_tokens\nnan,2,1",
       "line 2: arrival_s: \"nan\", expected a number"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = ParseTrace(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(std::string(status.message()).rfind(message, 0), 0u)
        << text << "\n"
        << status;
  }
}

TEST(TraceTest, AMissingFileIsNamed) {
  const absl::Status status = ReadTrace("no/such/trace.csv").status();
  EXPECT_EQ(status.message(), "no/such/trace.csv: no trace can be read there");
}

}  // namespace
}  // namespace facet
