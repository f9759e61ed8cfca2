// A request and a response of HTTP as plain values.
#ifndef FACET_RPC_HTTP_HTTP_MESSAGE_H_
#define FACET_RPC_HTTP_HTTP_MESSAGE_H_

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace facet {

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // "/v1/models"; still percent-encoded
  std::string query;   // what follows '?'
  std::vector<HttpHeader> headers;
  std::string body;
  std::string peer;  // HOST:PORT of the client

  // The first header of that name, whatever its case; null if there is none.
  const std::string* Header(absl::string_view name) const {
    for (const HttpHeader& header : headers) {
      if (absl::EqualsIgnoreCase(header.name, name)) return &header.value;
    }
    return nullptr;
  }
};

// The server adds Date, Connection and how long the body is.
struct HttpResponse {
  int status = 200;
  std::string content_type;  // empty: none
  std::vector<HttpHeader> headers;
  std::string body;
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_HTTP_MESSAGE_H_
