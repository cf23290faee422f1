// The interpreter's scheduler, and the kernels by name. Built on demand by launcher.py.
#include "interpreter.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels.cu"

namespace simt {

Index thread_index, block_index, block_size, grid_size;

namespace {

constexpr std::size_t kStack = 128 << 10;
constexpr std::size_t kSharedMemory = 48 << 10;
constexpr unsigned kLanes = 32;

struct Warp {
  unsigned arrived = 0;
  unsigned generation = 0;
  Meeting meeting = Meeting::warp;
  // A lane may reach the next meeting before another has read the last one's values, but no
  // lane is two ahead: two sets are enough.
  std::uint64_t values[2][kLanes];
};

struct Block {
  unsigned arrived = 0;
  std::vector<unsigned char> memory;
};

struct Fiber {
  std::unique_ptr<unsigned char[]> stack;
  jmp_buf context;
  bool parked = false;  // at the end of a kernel, ready for the next one
  bool ready = false;
  bool done = false;
  bool failed_last = false;
  bool stalled = false;  // put off at a switch, to be overtaken by most others
  unsigned thread = 0;
  unsigned block = 0;
  std::size_t shared_used = 0;
};

std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
std::vector<Block> blocks;
std::vector<unsigned> ready;
Fiber* current = nullptr;
jmp_buf scheduler;
void (*kernel_call)(const std::uint64_t*) = nullptr;
const std::uint64_t* kernel_words = nullptr;
std::uint64_t random_state = 1;
unsigned switch_mask = 0;  // switch where a random number has none of these bits
unsigned starved_unit = 0;  // what is starved together: a thread, a warp, or nothing (0)
std::uint64_t starved_salt = 0;
bool cas_may_fail = false;
std::string error;

std::uint64_t random_number() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state * 0x2545F4914F6CDD1Dull >> 32;
}

Warp& my_warp() {
  return warps[(current->block * block_size.x + current->thread) / kLanes];
}

unsigned my_lane() { return current->thread % kLanes; }

// volatile: the compiler must not keep globals across a switch.
__attribute__((noinline)) void back_to_scheduler() {
  if (_setjmp(current->context) == 0) _longjmp(scheduler, 1);
}

[[noreturn]] void fail(const std::string& message) {
  if (error.empty()) {
    error = message + " (block " + std::to_string(current->block) + ", thread " +
            std::to_string(current->thread) + ")";
  }
  _longjmp(scheduler, 1);
}

void make_ready(unsigned number) {
  fibers[number]->ready = true;
  ready.push_back(number);
}

// Wait until all 32 lanes have come here, each with a value; give the set to read them from.
const std::uint64_t* meet(Meeting meeting, std::uint64_t value) {
  Warp& warp = my_warp();
  const unsigned set = warp.generation % 2;
  if (warp.arrived != 0 && warp.meeting != meeting) fail("a warp's lanes met at different intrinsics");
  warp.meeting = meeting;
  warp.values[set][my_lane()] = value;
  if (++warp.arrived == kLanes) {
    warp.arrived = 0;
    ++warp.generation;
    const unsigned first = (current->block * block_size.x + current->thread) / kLanes * kLanes;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (lane != my_lane()) make_ready(first + lane);
    }
    may_switch();
  } else {
    current->ready = false;
    back_to_scheduler();
  }
  return warp.values[set];
}

void fiber_main() {
  for (;;) {
    kernel_call(kernel_words);
    current->done = true;
    current->ready = false;
    current->parked = true;
    back_to_scheduler();
  }
}

void resume(Fiber& fiber) {
  current = &fiber;
  thread_index = {fiber.thread};
  block_index = {fiber.block};
  if (_setjmp(scheduler) != 0) return;
  if (fiber.stack) _longjmp(fiber.context, 1);
  fiber.stack = std::make_unique<unsigned char[]>(kStack);
  ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = fiber.stack.get();
  start.uc_stack.ss_size = kStack;
  start.uc_link = nullptr;
  makecontext(&start, fiber_main, 0);
  setcontext(&start);
}

void prepare(unsigned grid, unsigned block, std::uint64_t seed, bool spurious) {
  grid_size = {grid};
  block_size = {block};
  random_state = seed * 0x9E3779B97F4A7C15ull + 0x853C49E6748FEA9Bull;
  if (random_state == 0) random_state = 1;
  for (int i = 0; i < 8; ++i) random_number();
  static constexpr unsigned masks[] = {0, 1, 7, 63, 0xFFFFFFFFu};
  switch_mask = masks[random_number() % 5];
  static constexpr unsigned units[] = {0, 1, kLanes};
  starved_unit = units[random_number() % 3];
  starved_salt = random_number() << 32 | random_number() | 1;
  cas_may_fail = spurious;
  error.clear();
  warps.assign(grid * block / kLanes, Warp());
  blocks.assign(grid, Block());
  for (Block& each : blocks) {
    each.memory.resize(kSharedMemory);
    const auto poison = static_cast<unsigned char>(random_number() | 1);
    std::memset(each.memory.data(), poison, kSharedMemory);
  }
  while (fibers.size() < std::size_t{grid} * block) fibers.push_back(std::make_unique<Fiber>());
  ready.clear();
  for (unsigned number = 0; number < grid * block; ++number) {
    Fiber& fiber = *fibers[number];
    if (!fiber.parked) fiber.stack.reset();  // new, or left behind by an error
    fiber.parked = fiber.done = fiber.failed_last = fiber.stalled = false;
    fiber.thread = number % block;
    fiber.block = number / block;
    fiber.shared_used = 0;
    make_ready(number);
  }
}

bool starved(unsigned number) {
  if (fibers[number]->stalled) return true;
  if (starved_unit == 0) return false;
  const std::uint64_t mixed = (number / starved_unit + 1) * starved_salt;
  return (mixed >> 32 & 1) != 0;
}

// A ready thread; a starved one only where sixteen draws find no other.
std::size_t choose() {
  std::size_t at = random_number() % ready.size();
  if (random_number() % 512 == 0) starved_salt = random_number() << 32 | random_number() | 1;
  for (int draw = 0; draw < 16 && starved(ready[at]); ++draw) at = random_number() % ready.size();
  return at;
}

void run_all() {
  while (!ready.empty() && error.empty()) {
    const std::size_t at = choose();
    Fiber& fiber = *fibers[ready[at]];
    fiber.stalled = false;
    resume(fiber);
    if (!fiber.ready) {
      ready[at] = ready.back();
      ready.pop_back();
    }
  }
  if (!error.empty()) return;
  for (unsigned number = 0; number < grid_size.x * block_size.x; ++number) {
    if (fibers[number]->done) continue;
    error = "deadlock: block " + std::to_string(fibers[number]->block) + ", thread " +
            std::to_string(fibers[number]->thread) + " waits for threads that do not come";
    return;
  }
}

template <class T>
constexpr char kind_of() {
  return std::is_pointer<T>::value ? 'p' : std::is_same<T, float>::value ? 'f' : 'i';
}

template <class... A>
struct Signature {
  static_assert(((std::is_pointer<A>::value || std::is_same<A, float>::value ||
                  std::is_same<A, emberline::i64>::value) && ...),
                "the launchers pass pointers, i64 and float");
  static std::string kinds() { return {kind_of<A>()...}; }

  template <void (*kernel)(A...), std::size_t... i>
  static void call_with(const std::uint64_t* words, std::index_sequence<i...>) {
    kernel(unword<A>(words[i])...);
  }

  template <void (*kernel)(A...)>
  static void call(const std::uint64_t* words) {
    call_with<kernel>(words, std::index_sequence_for<A...>());
  }
};

template <class... A>
Signature<A...> signature_of(void (*)(A...)) {
  return {};
}

struct Kernel {
  std::string name;
  std::string kinds;
  void (*call)(const std::uint64_t*);
};

// A warp that splits up before it meets, and a block of which one warp leaves: the tests' proof
// that the interpreter sees such errors.
EMBERLINE_KERNEL broken_divergent() {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __ballot_sync(~0u, 1);
  }
}
EMBERLINE_KERNEL broken_early_exit() {
  if (threadIdx.x < 32) __syncthreads();
}
EMBERLINE_KERNEL broken_mask() { __ballot_sync(1u, 1); }
// Reads and writes apart: without atomicity, updates are lost in some schedules.
EMBERLINE_KERNEL broken_race(emberline::u64* sum) {
  const emberline::u64 seen = emberline::load_fresh(sum);
  simt::may_switch();
  *sum = seen + 1;
}

#define SIMT_KERNEL(name) \
  {#name, decltype(signature_of(&name))::kinds(), &decltype(signature_of(&name))::call<&name>}

const std::vector<Kernel>& kernels() {
  using namespace emberline;
  static const std::vector<Kernel> all = {
      SIMT_KERNEL(broken_divergent), SIMT_KERNEL(broken_early_exit), SIMT_KERNEL(broken_mask),
      SIMT_KERNEL(broken_race),
#include "registry.inc"
  };
  return all;
}

}  // namespace

void may_switch() {
  if ((random_number() & switch_mask) != 0) return;
  current->stalled = random_number() % 8 == 0;
  back_to_scheduler();
}

void require_all_lanes(unsigned mask) {
  if (mask != 0xFFFFFFFFu) fail("a warp intrinsic's mask is not all lanes");
}

void meet_warp() { meet(Meeting::warp, 0); }

std::uint32_t ballot(bool predicate) {
  const std::uint64_t* values = meet(Meeting::ballot, predicate);
  std::uint32_t votes = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    votes |= static_cast<std::uint32_t>(values[lane] != 0) << lane;
  }
  return votes;
}

std::uint64_t shuffle_up(std::uint64_t value, unsigned distance) {
  const unsigned lane = my_lane();
  return meet(Meeting::shuffle, value)[lane < distance ? lane : lane - distance];
}

std::uint64_t shuffle_xor(std::uint64_t value, unsigned mask) {
  const unsigned lane = my_lane();
  return meet(Meeting::shuffle, value)[lane ^ mask];
}

void meet_block() {
  Block& block = blocks[current->block];
  if (++block.arrived < block_size.x) {
    current->ready = false;
    back_to_scheduler();
    return;
  }
  block.arrived = 0;
  for (unsigned thread = 0; thread < block_size.x; ++thread) {
    if (thread != current->thread) make_ready(current->block * block_size.x + thread);
  }
  may_switch();
}

void* shared_memory(std::size_t bytes) {
  const std::size_t at = current->shared_used;
  current->shared_used += (bytes + 15) / 16 * 16;
  if (current->shared_used > kSharedMemory) fail("more than 48 KiB of shared memory");
  return blocks[current->block].memory.data() + at;
}

bool fails_for_no_reason() {
  current->failed_last = cas_may_fail && !current->failed_last && random_number() % 4 == 0;
  return current->failed_last;
}

}  // namespace simt

// The kinds of a kernel's arguments, one letter each (p: pointer, i: i64, f: float), or null.
extern "C" const char* simt_signature(const char* name) {
  for (const simt::Kernel& kernel : simt::kernels()) {
    if (kernel.name == name) return kernel.kinds.c_str();
  }
  return nullptr;
}

// Run a kernel to its end. Returns null, or what went wrong.
extern "C" const char* simt_launch(const char* name, unsigned grid, unsigned block,
                                   const std::uint64_t* words, std::uint64_t seed,
                                   int cas_may_fail) {
  for (const simt::Kernel& kernel : simt::kernels()) {
    if (kernel.name != name) continue;
    simt::kernel_call = kernel.call;
    simt::kernel_words = words;
    simt::prepare(grid, block, seed, cas_may_fail != 0);
    simt::run_all();
    return simt::error.empty() ? nullptr : simt::error.c_str();
  }
  return "no such kernel";
}
