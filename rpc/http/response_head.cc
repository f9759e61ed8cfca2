#include "rpc/http/response_head.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace facet {
namespace {

const char* Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";  // the phrase is optional
  }
}

std::string Printable(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](unsigned char c) {
                              return (c < 0x20 && c != '\t') || c == 0x7f;
                            }),
             text.end());
  return text;
}

bool HasBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace

std::string ResponseHead(const HttpResponse& response, BodyEnd end,
                         bool keep_alive, absl::Time now) {
  std::string head = absl::StrCat(
      "HTTP/1.1 ", response.status, " ", Reason(response.status), "\r\nDate: ",
      absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone()),
      "\r\nConnection: ", keep_alive ? "keep-alive" : "close", "\r\n");
  if (!response.content_type.empty()) {
    absl::StrAppend(&head, "Content-Type: ", Printable(response.content_type),
                    "\r\n");
  }
  for (const HttpHeader& header : response.headers) {
    absl::StrAppend(&head, Printable(header.name), ": ",
                    Printable(header.value), "\r\n");
  }
  if (HasBody(response.status) && end == BodyEnd::kLength) {
    absl::StrAppend(&head, "Content-Length: ", response.body.size(), "\r\n");
  } else if (end == BodyEnd::kChunked) {
    head += "Transfer-Encoding: chunked\r\n";
  }
  return head + "\r\n";
}

std::string Chunk(const std::string& data) {
  if (data.empty()) return "";
  return absl::StrCat(absl::Hex(data.size()), "\r\n", data, "\r\n");
}

}  // namespace facet
