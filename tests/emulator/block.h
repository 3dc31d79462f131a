// One CUDA block on the host: its threads, the gates they meet at, and its shared memory.
//
// Threads are fibers by default: one host thread resumes them in random order between the gates, which is quick and
// finds missing barriers by the order alone. With RAS_EMULATOR_THREADS each is a thread of the host, so that
// ThreadSanitizer sees what CUDA threads would do at the same time. A gate that can never open is a fault.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ras::emulated {

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Opens when every thread that has to come has come. Each has a lock of its own: a lock shared by gates would order
// what CUDA leaves unordered, and hide races from ThreadSanitizer.
struct Gate {
  int expected = 0, arrived = 0;
  uint64_t generation = 0;
#ifdef RAS_EMULATOR_THREADS
  std::mutex mutex;
  std::condition_variable opened;
#endif
};

struct Copy {
  void* target;
  const void* source;
  int bytes;
};

struct Warp {
  Gate gate;
  int lanes = 0;
  std::atomic<bool> someone_left = false;
  uint64_t value[32];
  uint32_t fragment[32][6];
  const void* address[32];
};

class Block;

// One CUDA thread.
struct Thread {
  Block* block = nullptr;
  Warp* warp = nullptr;
  int index = 0;  // within the block, x only
  bool left = false;
  Gate* waits_at = nullptr;
  uint64_t waits_for = 0;
  std::vector<std::vector<Copy>> groups;  // of asynchronous copies, committed, oldest first
  std::vector<Copy> open;                 // not committed yet
#ifndef RAS_EMULATOR_THREADS
  ucontext_t context;
  std::unique_ptr<char[]> stack;
#endif
};

inline thread_local Thread* current = nullptr;

// Whole-block seeds, so that a failing order can be seen again.
inline uint64_t& seed() {
  static uint64_t value = 1;
  return value;
}

class Block {
 public:
  Block(int64_t threads, int64_t shared_bytes) : threads_(threads), warps_((threads + 31) / 32) {
    gate_.expected = static_cast<int>(threads);
    for (int64_t i = 0; i < threads; ++i) {
      Thread& t = threads_[i];
      t.block = this;
      t.warp = &warps_[i / 32];
      t.index = static_cast<int>(i);
      ++t.warp->lanes;
      ++t.warp->gate.expected;
    }
    // The exact size, behind an alignment that the allocation itself has: a byte too far is the allocator's to find.
    shared_size_ = shared_bytes;
    shared_ = static_cast<unsigned char*>(::operator new(shared_bytes > 0 ? shared_bytes : 1, std::align_val_t(128)));
    std::memset(shared_, 0xFF, shared_bytes);  // NaN in every floating type
    votes_.resize(threads);
  }
  ~Block() { ::operator delete(shared_, std::align_val_t(128)); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  unsigned char* shared() { return shared_; }

  void meet_block() { meet(gate_); }

  void meet_warp() {
    Warp& warp = *current->warp;
    if (warp.someone_left) {
      stop("a warp works together after one of its threads has left");
    }
    meet(warp.gate);
  }

  // Every thread's value, as each of them sees it; threads that have left count as 0.
  template <class F>
  int vote(int value, F combine) {
    votes_[current->index] = value;
    meet_block();
    int result = combine(votes_);
    meet_block();
    return result;
  }

  void run(const std::function<void()>& kernel, std::mt19937_64& random);

 private:
  void meet(Gate& gate);
  void leave(Thread& thread);
  void body(Thread& thread, const std::function<void()>& kernel);
  void check_abandoned(const Thread& thread);
  void release(Gate& gate) {
    gate.arrived = 0;
    ++gate.generation;
#ifdef RAS_EMULATOR_THREADS
    gate.opened.notify_all();
#endif
  }
  void fail(std::exception_ptr error) {
#ifdef RAS_EMULATOR_THREADS
    std::lock_guard lock(error_mutex_);
#endif
    if (!error_) {
      error_ = std::move(error);
    }
    failed_ = true;
  }

  [[noreturn]] void stop(const std::string& what) {
    throw Fault(what + " (thread " + std::to_string(current->index) + ")");
  }

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<int> votes_;
  Gate gate_;
  unsigned char* shared_ = nullptr;
  int64_t shared_size_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false;
#ifdef RAS_EMULATOR_THREADS
  std::mutex error_mutex_;
#else
  ucontext_t scheduler_;
  std::vector<int> order_;
#endif
};

inline void Block::body(Thread& thread, const std::function<void()>& kernel) {
  current = &thread;
  try {
    kernel();
  } catch (...) {
    fail(std::current_exception());
  }
  leave(thread);
}

inline void Block::leave(Thread& thread) {
  thread.left = true;
  thread.warp->someone_left = true;
#ifdef RAS_EMULATOR_THREADS
  {
    std::lock_guard lock(thread.warp->gate.mutex);
    check_abandoned(thread);
  }
  std::lock_guard lock(gate_.mutex);
#else
  check_abandoned(thread);
#endif
  votes_[thread.index] = 0;
  --gate_.expected;
  if (gate_.expected > 0 && gate_.arrived == gate_.expected) {
    release(gate_);
  }
}

inline void Block::check_abandoned(const Thread& thread) {
  if (thread.warp->gate.arrived > 0) {
    fail(std::make_exception_ptr(
        Fault("a thread leaves while its warp works together (thread " + std::to_string(thread.index) + ")")));
  }
}

#ifdef RAS_EMULATOR_THREADS

inline void Block::meet(Gate& gate) {
  std::unique_lock lock(gate.mutex);
  const uint64_t mine = gate.generation;
  if (++gate.arrived == gate.expected) {
    release(gate);
    return;
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (gate.generation == mine) {
    gate.opened.wait_for(lock, std::chrono::milliseconds(200), [&] { return gate.generation != mine; });
    if (gate.generation == mine && failed_) {
      throw Fault("another thread has failed");
    }
    if (gate.generation == mine && std::chrono::steady_clock::now() > patience) {
      stop("threads wait for each other at different places");
    }
  }
}

inline void Block::run(const std::function<void()>& kernel, std::mt19937_64&) {
  std::vector<std::thread> hosts;
  hosts.reserve(threads_.size());
  for (Thread& thread : threads_) {
    hosts.emplace_back([&] { body(thread, kernel); });
  }
  for (std::thread& host : hosts) {
    host.join();
  }
  if (error_) {
    std::rethrow_exception(error_);
  }
}

#else

inline void Block::meet(Gate& gate) {
  Thread& thread = *current;
  const uint64_t mine = gate.generation;
  if (++gate.arrived == gate.expected) {
    release(gate);
    return;
  }
  thread.waits_at = &gate;
  thread.waits_for = mine;
  swapcontext(&thread.context, &scheduler_);
  thread.waits_at = nullptr;
}

// A fiber begins here; what it runs lies in the block, since makecontext passes only integers.
struct FiberStart {
  Block* block;
  Thread* thread;
  const std::function<void()>* kernel;
  void (Block::*body)(Thread&, const std::function<void()>&);
};
inline FiberStart fiber_start;

inline void fiber() {
  const FiberStart start = fiber_start;
  (start.block->*start.body)(*start.thread, *start.kernel);
}

inline void Block::run(const std::function<void()>& kernel, std::mt19937_64& random) {
  constexpr size_t kStack = 256 * 1024;
  std::vector<bool> begun(threads_.size(), false);
  order_.resize(threads_.size());
  for (size_t i = 0; i < order_.size(); ++i) {
    order_[i] = static_cast<int>(i);
  }
  for (size_t left = 0; left < threads_.size();) {
    std::shuffle(order_.begin(), order_.end(), random);
    bool moved = false;
    for (const int i : order_) {
      Thread& thread = threads_[i];
      if (thread.left || (thread.waits_at && thread.waits_at->generation == thread.waits_for)) {
        continue;
      }
      moved = true;
      if (!begun[i]) {
        begun[i] = true;
        thread.stack.reset(new char[kStack]);
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = kStack;
        thread.context.uc_link = &scheduler_;
        fiber_start = {this, &thread, &kernel, &Block::body};
        makecontext(&thread.context, fiber, 0);
      }
      current = &thread;
      swapcontext(&scheduler_, &thread.context);
      if (error_) {
        std::rethrow_exception(error_);
      }
      left += thread.left;
    }
    if (!moved && left < threads_.size()) {
      throw Fault("threads wait for each other at different places");
    }
  }
}

#endif

}  // namespace ras::emulated
