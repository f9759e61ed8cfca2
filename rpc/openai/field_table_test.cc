#include "rpc/openai/field_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "rpc/openai/chat_request.h"
#include "rpc/openai/completion_request.h"
#include "rpc/openai/field_table_doc.h"
#include "rpc/openai/responses_request.h"
#include "rpc/openai/tokenize_request.h"

namespace facet {
namespace {

// A request of that endpoint that is taken.
ApiJson Taken(Endpoint endpoint) {
  const ApiJson messages =
      ApiJson::array({{{"role", "user"}, {"content", "Hello"}}});
  switch (endpoint) {
    case Endpoint::kChatCompletions:
      return {{"messages", messages}};
    case Endpoint::kCompletions:
      return {{"prompt", "Hello"}};
    case Endpoint::kResponses:
      return {{"input", "Hello"}};
    case Endpoint::kTokenize:
      return {{"prompt", "Hello"}};
    case Endpoint::kDetokenize:
      break;
  }
  return {{"tokens", {1, 2}}};
}

absl::Status Parse(Endpoint endpoint, const ApiJson& body) {
  const std::string text = body.dump();
  switch (endpoint) {
    case Endpoint::kChatCompletions:
      return ParseChatRequest(text).status();
    case Endpoint::kCompletions:
      return ParseCompletionRequest(text).status();
    case Endpoint::kResponses:
      return ParseResponsesRequest(text).status();
    case Endpoint::kTokenize:
      return ParseTokenizeRequest(text).status();
    case Endpoint::kDetokenize:
      break;
  }
  return ParseDetokenizeRequest(text).status();
}

class FieldTableTest : public testing::TestWithParam<Endpoint> {
 protected:
  // The status of a request that is taken but for this field.
  absl::Status With(const std::string& field, const ApiJson& value) {
    ApiJson body = Taken(GetParam());
    if (field == "messages" && !value.is_null()) body.erase("prompt");
    body[field] = value;
    return Parse(GetParam(), body);
  }
};

// No honoured field takes three nested lists, so that a field that nobody reads
// would show.
TEST_P(FieldTableTest, EveryHonouredFieldIsReadAndRefusedByNameWhereItIsWrong) {
  const ApiJson wrong = ApiJson::parse(R"([[["x"]]])");
  for (const ApiField& field : FieldsOf(GetParam())) {
    if (field.use != FieldUse::kHonoured) continue;
    const absl::Status status = With(field.name, wrong);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field.name;
    EXPECT_TRUE(absl::StartsWith(status.message(), field.name))
        << field.name << ": " << status;
  }
}

TEST_P(FieldTableTest, NullIsAsGoodAsAbsent) {
  for (const ApiField& field : FieldsOf(GetParam())) {
    if (Taken(GetParam()).contains(field.name)) continue;
    EXPECT_TRUE(With(field.name, nullptr).ok()) << field.name;
  }
}

TEST_P(FieldTableTest, RefusedFieldsAreNamedAndTheirNeutralValuesTaken) {
  const ApiJson wrong = ApiJson::parse(R"([[["x"]]])");
  for (const ApiField& field : FieldsOf(GetParam())) {
    if (field.use == FieldUse::kHonoured) continue;
    const bool anything = std::string(field.accepted) == "*";
    const absl::Status status = With(field.name, wrong);
    EXPECT_EQ(status.ok(), anything) << field.name;
    if (!anything) {
      EXPECT_TRUE(absl::StartsWith(status.message(),
                                   absl::StrCat(field.name, ": not supported")))
          << status;
    }
    std::istringstream words(anything ? "" : field.accepted);
    for (std::string word; words >> word;) {
      EXPECT_TRUE(With(field.name, ApiJson::parse(word)).ok())
          << field.name << " " << word;
    }
  }
}

TEST_P(FieldTableTest, UnknownFieldsAreRefusedByName) {
  const absl::Status status = With("temprature", 1);
  EXPECT_TRUE(absl::StartsWith(status.message(), "temprature: unknown field"))
      << status;
}

TEST_P(FieldTableTest, NoFieldStandsTwice) {
  std::set<std::string> names;
  for (const ApiField& field : FieldsOf(GetParam())) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
  }
}

TEST_P(FieldTableTest, TheDocumentSaysWhatTheTableSays) {
  std::ifstream file("docs/openai.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(document.empty());
  const std::string section = absl::StrCat("\n## `", PathOf(GetParam()), "`");
  EXPECT_TRUE(absl::StrContains(document, section)) << section;
  EXPECT_TRUE(absl::StrContains(document, FieldTableMarkdown(GetParam())))
      << "docs/openai.md lacks:\n"
      << FieldTableMarkdown(GetParam());
}

INSTANTIATE_TEST_SUITE_P(AllEndpoints, FieldTableTest,
                         testing::ValuesIn(kEndpoints));

}  // namespace
}  // namespace facet
