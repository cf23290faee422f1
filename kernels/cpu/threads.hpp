// Bulk-synchronous steps on a persistent pool of threads.
//
// The pool is our own: OpenMP's hangs in a forked child whose parent had used it, and sanitizers
// do not follow it. A step is cut into parts; any thread may take any part, so a body's result
// must depend on its part alone. Then nothing depends on how many threads there are.
#pragma once

#include "platform.cuh"

namespace emberline {

// A callable taken by reference for the length of one call; std::function would allocate.
class PartBody {
 public:
  template <class F>
  PartBody(const F& function)  // NOLINT: implicit, so that a lambda can be passed
      : object_(&function), call_([](const void* object, i64 part, int worker) {
          (*static_cast<const F*>(object))(part, worker);
        }) {}

  void operator()(i64 part, int worker) const { call_(object_, part, worker); }

 private:
  const void* object_;
  void (*call_)(const void*, i64, int);
};

// How one table uses the pool that all tables of the process share.
class Threads {
 public:
  // At least `grain` items make a part: waking a thread costs as much as about 500 look-ups.
  Threads(int count, i64 grain) : count_(count < 1 ? 1 : count), grain_(grain < 1 ? 1 : grain) {}

  int count() const { return count_; }

  // The parts that `items` are cut into: 1 where a single thread is best or this is a part already,
  // else up to four times the threads, which evens out parts of different cost.
  i64 parts(i64 items) const {
    if (count_ == 1 || items < 2 * grain_ || inside_a_part()) return 1;
    const i64 most = i64{4} * count_;
    return items / grain_ < most ? items / grain_ : most;
  }

  // Call body(part, worker) once for each part in [0, parts); `worker` is below `count()`, and
  // no two calls of one worker overlap. An exception is thrown again here after the step, that
  // of the lowest part. Within a part, or where the pool is in use by another table, this thread
  // does all parts.
  void run(i64 parts, PartBody body) const;

  // Call body(begin, end, part) for the ranges that [0, items) is cut into.
  template <class Body>
  void run_ranges(i64 items, const Body& body) const {
    const i64 parts = this->parts(items);
    run(parts, [&](i64 part, int) {
      body(items * part / parts, items * (part + 1) / parts, part);
    });
  }

 private:
  static bool inside_a_part();

  int count_;
  i64 grain_;
};

}  // namespace emberline
