// A few threads that do what neither the server's nor the engine's thread may
// wait for.
#ifndef FACET_RPC_OPENAI_WORK_THREADS_H_
#define FACET_RPC_OPENAI_WORK_THREADS_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace facet {

// Safe from several threads. How many tasks wait is bounded by whoever posts
// them: one a connection here.
class WorkThreads {
 public:
  explicit WorkThreads(int threads);
  ~WorkThreads() { Stop(); }

  // Runs `task` later, in order of posting; drops it after Stop().
  void Post(std::function<void()> task);

  // Runs what waits, then ends the threads. Not from a task.
  void Stop();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace facet

#endif  // FACET_RPC_OPENAI_WORK_THREADS_H_
