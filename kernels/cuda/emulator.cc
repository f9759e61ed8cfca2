#include "kernels/cuda/emulator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/cuda/race_watch.h"

extern "C" void facet_switch_stack(void** save, void* load);

// Saves what a call preserves on the stack of the one, takes it from the
// other's.
asm(R"(
.text
.type facet_switch_stack, @function
facet_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size facet_switch_stack, . - facet_switch_stack
)");

namespace facet {
namespace emulated {

thread_local dim3 thread_index, block_index, block_dim, grid_dim;
int most_shared_bytes = 227 * 1024;

namespace {

constexpr size_t kStackBytes = 64 * 1024;
constexpr int kWarp = 32;

enum class State { kReady, kAtBlockBarrier, kAtWarpBarrier, kDone };

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr,
               "emulated kernel: %s; block (%u, %u, %u), thread (%u, %u, %u)\n",
               what, block_index.x, block_index.y, block_index.z,
               thread_index.x, thread_index.y, thread_index.z);
  std::abort();
}

struct Fiber {
  void* stack = nullptr;  // where it left off
  State state = State::kDone;
  unsigned turn = 0;  // of exchanges
  unsigned block_barriers = 0, warp_barriers = 0;
  // Begun, up to `landed` done; where each committed group ends.
  std::vector<AsyncCopy> copies;
  std::vector<size_t> groups;
  size_t landed = 0;
};

struct Warp {
  uint64_t slots[2][kWarp];
  uint32_t fragments[kWarp][6];  // of a and b
};

// Of one block. Where races are watched, each has its own until the grid is
// done.
struct BlockMemory {
  std::vector<uint8_t> shared;
  // Addresses that stand for barriers, two of each, since a thread may be at
  // the next one when others have not yet left this one.
  std::vector<uint64_t> barriers;
};
constexpr size_t kMostWatchedBytes = size_t{1} << 29;

class Machine {
 public:
  ~Machine() {
    if (stacks_ != nullptr) munmap(stacks_, capacity_ * kStackBytes);
    for (void* watched : watched_) EndWatched(watched);
  }

  void BeginGrid() {
    host_ = ThisWatched();
    GiveOrder(&begun_);
  }
  void EndGrid() {
    GetOrder(&ended_);
    blocks_.clear();
    bytes_ = 0;
  }
  void RunBlock(const std::function<void()>& kernel, size_t shared_bytes);
  void Yield(State state) {
    Fiber& fiber = fibers_[current_];
    fiber.state = state;
    SwitchToWatched(host_);
    facet_switch_stack(&fiber.stack, scheduler_);
  }
  void BlockBarrier() {
    void* const at = BarrierAt(0, current().block_barriers++);
    GiveOrder(at);
    Yield(State::kAtBlockBarrier);
    GetOrder(at);
  }
  void WarpBarrier() {
    void* const at = BarrierAt(1 + current_ / kWarp, current().warp_barriers++);
    GiveOrder(at);
    Yield(State::kAtWarpBarrier);
    GetOrder(at);
  }
  void RunKernel() {
    GetOrder(&begun_);
    (*kernel_)();
    GiveOrder(&ended_);
  }
  Fiber& current() { return fibers_[current_]; }
  Warp& warp() { return warps_[current_ / kWarp]; }
  void* shared() { return shared_; }

 private:
  void Reserve(size_t threads);
  // Whether any fiber is ready afterwards.
  bool Release();
  void* BarrierAt(size_t which, unsigned turn) {
    return &blocks_.back().barriers[2 * which + turn % 2];
  }

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::vector<BlockMemory> blocks_;  // the last one runs
  size_t bytes_ = 0;                 // of them
  void* shared_ = nullptr;
  std::vector<void*> watched_;  // of each fiber
  void* host_ = nullptr;
  uint64_t begun_ = 0, ended_ = 0;  // addresses that stand for both
  uint8_t* stacks_ = nullptr;
  size_t capacity_ = 0;
  size_t current_ = 0;
  void* scheduler_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
};

thread_local Machine machine;

void FiberMain() {
  machine.RunKernel();
  machine.Yield(State::kDone);
  std::abort();
}

void Machine::Reserve(size_t threads) {
  if (threads <= capacity_) return;
  if (stacks_ != nullptr) munmap(stacks_, capacity_ * kStackBytes);
  void* stacks = mmap(nullptr, threads * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) Fail("no memory for stacks");
  stacks_ = static_cast<uint8_t*>(stacks);
  capacity_ = threads;
  while (watched_.size() < capacity_) watched_.push_back(NewWatched());
}

bool Machine::Release() {
  size_t done = 0, at_block = 0;
  bool ready = false;
  for (size_t first = 0; first < fibers_.size(); first += kWarp) {
    const size_t last = std::min(fibers_.size(), first + kWarp);
    size_t at_warp = 0;
    for (size_t i = first; i < last; ++i) {
      done += fibers_[i].state == State::kDone;
      at_block += fibers_[i].state == State::kAtBlockBarrier;
      at_warp += fibers_[i].state == State::kAtWarpBarrier;
    }
    if (at_warp == 0) continue;
    if (at_warp < last - first) {
      Fail("a warp's barrier or shuffle that not all of its threads reach");
    }
    for (size_t i = first; i < last; ++i) fibers_[i].state = State::kReady;
    ready = true;
  }
  if (ready || done == fibers_.size()) return ready;
  if (at_block < fibers_.size()) {
    Fail("a block's barrier that not all of its threads reach");
  }
  for (Fiber& fiber : fibers_) fiber.state = State::kReady;
  return true;
}

void Machine::RunBlock(const std::function<void()>& kernel,
                       size_t shared_bytes) {
  const size_t threads =
      static_cast<size_t>(block_dim.x) * block_dim.y * block_dim.z;
  Reserve(threads);
  kernel_ = &kernel;
  // Exactly as much as was asked for, so that a sanitizer sees what lies
  // behind; filled with what no kernel should compute with.
  if (!RacesAreWatched() || bytes_ > kMostWatchedBytes) EndGrid();
  warps_.resize((threads + kWarp - 1) / kWarp);
  BlockMemory& memory = blocks_.emplace_back();
  memory.shared.assign(shared_bytes + 128, 0xff);
  memory.barriers.resize(2 * (1 + warps_.size()));
  bytes_ += memory.shared.size();
  const auto base = reinterpret_cast<uintptr_t>(memory.shared.data());
  shared_ = reinterpret_cast<void*>((base + 127) / 128 * 128);
  GiveOrder(&begun_);
  fibers_.assign(threads, Fiber());
  for (size_t i = 0; i < threads; ++i) {
    void** top = reinterpret_cast<void**>(stacks_ + (i + 1) * kStackBytes);
    *--top = nullptr;  // keeps the alignment that a call leaves
    *--top = reinterpret_cast<void*>(&FiberMain);
    for (int r = 0; r < 6; ++r) *--top = nullptr;
    fibers_[i].stack = top;
    fibers_[i].state = State::kReady;
  }
  do {
    for (current_ = 0; current_ < threads; ++current_) {
      Fiber& fiber = fibers_[current_];
      if (fiber.state != State::kReady) continue;
      thread_index.x = current_ % block_dim.x;
      thread_index.y = current_ / block_dim.x % block_dim.y;
      thread_index.z = current_ / block_dim.x / block_dim.y;
      SwitchToWatched(watched_[current_]);
      facet_switch_stack(&scheduler_, fiber.stack);
    }
  } while (Release());
}

}  // namespace

void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& kernel) {
  grid_dim = grid;
  block_dim = block;
  if (block.x * block.y * block.z > 1024) Fail("more than 1024 threads");
  if (shared_bytes > static_cast<size_t>(most_shared_bytes)) {
    Fail("more shared memory than the device has");
  }
  machine.BeginGrid();
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = dim3(x, y, z);
        machine.RunBlock(kernel, shared_bytes);
      }
    }
  }
  machine.EndGrid();
}

void* SharedBytes() { return machine.shared(); }

void BlockBarrier() { machine.BlockBarrier(); }

void WarpBarrier() { machine.WarpBarrier(); }

void BeginCopy(const AsyncCopy& copy) {
  machine.current().copies.push_back(copy);
}

void CommitCopyGroup() {
  Fiber& fiber = machine.current();
  fiber.groups.push_back(fiber.copies.size());
}

bool LandCopy(int pending, AsyncCopy* copy) {
  Fiber& fiber = machine.current();
  const size_t waited =
      fiber.groups.size() - std::min<size_t>(pending, fiber.groups.size());
  const size_t end = waited == 0 ? 0 : fiber.groups[waited - 1];
  if (fiber.landed >= end) return false;
  *copy = fiber.copies[fiber.landed++];
  return true;
}

uint64_t WarpExchange(uint64_t value, int from) {
  // Two sets of slots: who is through the next barrier has read this one's.
  const unsigned turn = machine.current().turn++ % 2;
  machine.warp().slots[turn][thread_index.x % kWarp] = value;
  machine.Yield(State::kAtWarpBarrier);
  return machine.warp().slots[turn][from];
}

void EmulateMultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                        float (&d)[4]) {
  const int lane = static_cast<int>(thread_index.x) % kWarp;
  Warp& warp = machine.warp();
  for (int r = 0; r < 4; ++r) warp.fragments[lane][r] = a[r];
  for (int r = 0; r < 2; ++r) warp.fragments[lane][4 + r] = b[r];
  machine.Yield(State::kAtWarpBarrier);
  const auto half = [](uint32_t pair, int k) {
    const uint32_t bits = k % 2 == 0 ? pair << 16 : pair & 0xffff0000u;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  };
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int quad = k % 8 / 2;
      const uint32_t of_a =
          warp.fragments[row % 8 * 4 + quad][row / 8 + k / 8 * 2];
      const uint32_t of_b = warp.fragments[column * 4 + quad][4 + k / 8];
      d[i] = __builtin_fmaf(half(of_a, k), half(of_b, k), d[i]);
    }
  }
  machine.Yield(State::kAtWarpBarrier);
}

}  // namespace emulated
}  // namespace facet
