#include "rpc/http/raw_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace facet {

RawClient::RawClient(const std::string& address, int receive_buffer) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
               sizeof(receive_buffer));
  }
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(
      std::atoi(address.c_str() + address.rfind(':') + 1)));
  EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
}

RawClient::~RawClient() { Close(); }

bool RawClient::Send(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t count =
        send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

void RawClient::CloseSending() { shutdown(fd_, SHUT_WR); }

void RawClient::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void RawClient::Reset() {
  const linger at_once = {1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  Close();
}

bool RawClient::Receive() {
  pollfd readable = {fd_, POLLIN, 0};
  if (poll(&readable, 1, 5000) != 1) {
    ADD_FAILURE() << "nothing came in 5 s after: " << received_;
    return false;
  }
  char bytes[65536];
  const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
  if (count <= 0) return false;
  received_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string RawClient::ReadUntil(const std::string& end) {
  size_t found;
  while ((found = received_.find(end)) == std::string::npos) {
    if (!Receive()) return std::exchange(received_, "");
  }
  return ReadBytes(found + end.size());
}

std::string RawClient::ReadBytes(size_t count) {
  while (received_.size() < count && Receive()) {
  }
  count = std::min(count, received_.size());
  const std::string result = received_.substr(0, count);
  received_.erase(0, count);
  return result;
}

std::string RawClient::ReadAll() {
  while (Receive()) {
  }
  return std::exchange(received_, "");
}

RawClient::Response RawClient::ReadResponse(bool head_only) {
  Response response;
  response.head = ReadUntil("\r\n\r\n");
  if (response.head.rfind("HTTP/1.1 ", 0) == 0) {
    response.status = std::atoi(response.head.c_str() + 9);
  }
  const std::string name = "Content-Length: ";
  const size_t length = response.head.find(name);
  if (length != std::string::npos && !head_only) {
    response.body = ReadBytes(static_cast<size_t>(
        std::atol(response.head.c_str() + length + name.size())));
  }
  return response;
}

bool RawClient::StaysQuiet(int milliseconds) {
  pollfd readable = {fd_, POLLIN, 0};
  return received_.empty() && poll(&readable, 1, milliseconds) == 0;
}

}  // namespace facet
