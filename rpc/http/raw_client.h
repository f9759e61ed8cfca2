// A client that sends exactly the bytes a test gives it. Every wait ends after
// five seconds.
#ifndef FACET_RPC_HTTP_RAW_CLIENT_H_
#define FACET_RPC_HTTP_RAW_CLIENT_H_

#include <cstddef>
#include <string>

namespace facet {

class RawClient {
 public:
  // "127.0.0.1:PORT". `receive_buffer` in bytes; 0: the system's choice.
  explicit RawClient(const std::string& address, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False: the connection is closed.
  bool Send(const std::string& bytes);
  void CloseSending();
  void Close();
  // Closes so that the peer sees a reset.
  void Reset();

  // What comes up to and including `end`; all there is if the connection ends
  // before. What comes behind is kept.
  std::string ReadUntil(const std::string& end);
  std::string ReadBytes(size_t count);
  // Up to the end of the connection.
  std::string ReadAll();

  // A header and the body whose length it gives.
  struct Response {
    int status = 0;
    std::string head;
    std::string body;
  };
  Response ReadResponse(bool head_only = false);

  // No byte comes and the connection stays for that long.
  bool StaysQuiet(int milliseconds);

 private:
  // False: the connection ended.
  bool Receive();

  int fd_ = -1;
  std::string received_;
};

}  // namespace facet

#endif  // FACET_RPC_HTTP_RAW_CLIENT_H_
