// The pool: workers sleep between steps, and spin for a moment first, as steps come in rows.
#include "threads.hpp"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace emberline {

namespace {

constexpr int kSpins = 300;  // about 20 us

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

thread_local bool in_part = false;  // a step within a part is done by its thread alone

class Pool {
 public:
  static Pool& get();

  // False: another step is under way, nothing was done.
  bool try_run(int threads, i64 parts, const PartBody& body) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    std::unique_lock<std::mutex> lock(mutex_);
    start_workers(threads - 1);
    body_ = &body;
    parts_ = parts;
    next_ = 0;
    open_places_ = threads - 1;
    joined_ = 0;
    error_ = nullptr;
    unfinished_.store(parts, std::memory_order_relaxed);
    step_.fetch_add(1, std::memory_order_release);
    if (sleeping_ > 0) wake_.notify_all();
    take_parts(lock, 0);
    if (unfinished_.load(std::memory_order_acquire) != 0) {
      lock.unlock();
      for (int i = 0; i < kSpins && unfinished_.load(std::memory_order_acquire) != 0; ++i) pause();
      lock.lock();
      done_.wait(lock, [&] { return unfinished_.load(std::memory_order_acquire) == 0; });
    }
    open_places_ = 0;
    std::exception_ptr error = std::exchange(error_, nullptr);
    lock.unlock();
    if (error) std::rethrow_exception(error);
    return true;
  }

 private:
  // Under `lock`, which is let go while a part runs.
  void take_parts(std::unique_lock<std::mutex>& lock, int worker) {
    while (next_ < parts_) {
      const i64 part = next_++;
      const PartBody& body = *body_;
      lock.unlock();
      std::exception_ptr error;
      in_part = true;
      try {
        body(part, worker);
      } catch (...) {  // of any kind: it must reach the thread that asked for the step
        error = std::current_exception();
      }
      in_part = false;
      lock.lock();
      if (error && (!error_ || part < error_part_)) {
        error_ = error;
        error_part_ = part;
      }
      if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) done_.notify_one();
    }
  }

  void work(u64 seen) {
    for (;;) {
      for (int i = 0; i < kSpins && step_.load(std::memory_order_acquire) == seen; ++i) pause();
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, [&] { return step_.load(std::memory_order_acquire) != seen; });
      --sleeping_;
      seen = step_.load(std::memory_order_acquire);
      if (open_places_ == 0) continue;
      --open_places_;
      take_parts(lock, ++joined_);
    }
  }

  // Fewer than asked for where the system refuses: who is there does all the parts.
  void start_workers(int wanted) {
    try {
      for (; workers_ < wanted; ++workers_) {
        std::thread([this, seen = step_.load()] { work(seen); }).detach();
      }
    } catch (const std::system_error&) {
    }
  }

  std::mutex turn_;  // held for a whole step
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<u64> step_{0};
  std::atomic<i64> unfinished_{0};
  const PartBody* body_ = nullptr;
  i64 parts_ = 0;
  i64 next_ = 0;
  i64 error_part_ = 0;
  int open_places_ = 0;
  int joined_ = 0;
  int sleeping_ = 0;
  int workers_ = 0;
  std::exception_ptr error_;
};

// Never destroyed: workers may outlive static objects. A forked child has no workers and maybe
// locked mutexes, so it starts with a pool of its own and forgets the parent's.
std::atomic<Pool*> the_pool{nullptr};

Pool& Pool::get() {
  static const bool registered = [] {
    the_pool.store(new Pool);
    pthread_atfork(nullptr, nullptr, [] { the_pool.store(new Pool); });
    return true;
  }();
  static_cast<void>(registered);
  return *the_pool.load();
}

}  // namespace

bool Threads::inside_a_part() { return in_part; }

void Threads::run(i64 parts, PartBody body) const {
  const bool alone = parts < 2 || count_ < 2 || in_part;
  if (!alone && Pool::get().try_run(count_, parts, body)) return;
  // Whether the pool was free must not show: what a part cuts itself into is the same then.
  struct Inside {
    explicit Inside(bool entered) : before(in_part) { in_part = before || entered; }
    ~Inside() { in_part = before; }
    bool before;
  } const inside(!alone);
  for (i64 part = 0; part < parts; ++part) body(part, 0);
}

}  // namespace emberline
