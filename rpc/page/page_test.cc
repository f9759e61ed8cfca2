#include "rpc/page/page.h"

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

std::optional<HttpResponse> Ask(const std::string& method,
                                const std::string& path) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  return PageResponse(request);
}

std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  for (const HttpHeader& header : response.headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

TEST(PageTest, TheFilesAreInTheBinaryByteForByte) {
  const std::pair<const char*, const char*> kFiles[] = {
      {"/", "index.html"},
      {"/page/facet.css", "facet.css"},
      {"/page/facet.js", "facet.js"}};
  for (const auto& [path, name] : kFiles) {
    std::ifstream file(std::string("rpc/page/assets/") + name);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    ASSERT_FALSE(bytes.empty()) << name;
    const auto response = Ask("GET", path);
    ASSERT_TRUE(response.has_value()) << path;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, bytes) << path;
  }
}

TEST(PageTest, NothingComesFromElsewhere) {
  for (const char* path : {"/", "/page/facet.css", "/page/facet.js"}) {
    const std::string body = Ask("GET", path)->body;
    for (const char* outside : {"src=\"http", "href=\"http", "url(http",
                                "@import", "//cdn", "fetch('http"}) {
      EXPECT_FALSE(absl::StrContains(body, outside)) << path << outside;
    }
    const std::string policy =
        HeaderOf(*Ask("GET", path), "Content-Security-Policy");
    EXPECT_TRUE(absl::StrContains(policy, "default-src 'none'"));
    EXPECT_FALSE(absl::StrContains(policy, "unsafe"));
  }
}

TEST(PageTest, OtherPathsAreNotThePages) {
  for (const char* path : {"/page", "/page/", "/page/../BUILD", "/x", ""}) {
    EXPECT_FALSE(Ask("GET", path).has_value()) << path;
  }
}

TEST(PageTest, ThePageIsOnlyRead) {
  EXPECT_EQ(Ask("POST", "/")->status, 405);
  EXPECT_EQ(Ask("HEAD", "/")->status, 200);
}

}  // namespace
}  // namespace facet
