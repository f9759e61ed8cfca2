#include "rpc/page/page.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rpc/http/error_response.h"
#include "rpc/page/assets.h"

namespace facet {
namespace {

struct Part {
  const char* path;
  const char* file;
  const char* content_type;
};

constexpr Part kParts[] = {
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/page/facet.css", "facet.css", "text/css; charset=utf-8"},
    {"/page/facet.js", "facet.js", "text/javascript; charset=utf-8"},
};

// Nothing from elsewhere, nothing inline, in nobody's frame.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
    "'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

}  // namespace

std::optional<HttpResponse> PageResponse(const HttpRequest& request) {
  for (const Part& part : kParts) {
    if (request.path != part.path) continue;
    if (request.method != "GET" && request.method != "HEAD") {
      HttpResponse refusal = ErrorResponse(
          405, absl::StrCat(request.path, " takes GET, not ", request.method));
      refusal.headers.push_back({"Allow", "GET, HEAD"});
      return refusal;
    }
    HttpResponse response;
    response.content_type = part.content_type;
    response.headers = {{"Cache-Control", "no-cache"},
                        {"Content-Security-Policy", kPolicy},
                        {"Referrer-Policy", "no-referrer"},
                        {"X-Content-Type-Options", "nosniff"}};
    response.body = std::string(Asset(part.file));
    return response;
  }
  return std::nullopt;
}

}  // namespace facet
