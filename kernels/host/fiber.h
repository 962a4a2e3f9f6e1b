// Fibers: functions that give way to each other where they say so. A few instructions a switch on x86-64; elsewhere
// the C library's contexts, which ask the kernel each time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// Under ThreadSanitizer a fiber is a thread of its own, and a switch orders nothing: what orders two fibers is said by who
// knows it (shim.h). What is shared by design goes through functions that it does not look into.
#if defined(__SANITIZE_THREAD__)
#define UNSEEN __attribute__((no_sanitize("thread"), noinline)) inline
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* at);
void __tsan_release(void* at);
void __tsan_read16(void* at);
void __tsan_write16(void* at);
}
#else
#define UNSEEN inline
inline void __tsan_acquire(void*) {}
inline void __tsan_release(void*) {}
inline void __tsan_read16(void*) {}
inline void __tsan_write16(void*) {}
#endif

namespace fiber {

const size_t STACK = 128 << 10;

struct State {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  bool done = false;
  void* seen_as = nullptr;
};

inline std::vector<State> states;
inline std::vector<unsigned char*> stacks;
inline State scheduler;
inline unsigned now = 0;
inline void (*body)(const void*) = nullptr;
inline void (*at_end)() = nullptr;
inline const void* argument = nullptr;

UNSEEN unsigned current() { return now; }

#if defined(__x86_64__)
extern "C" void rollcast_switch(void** from, void* to);
asm(R"(
.text
.globl rollcast_switch
rollcast_switch:
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
)");
UNSEEN void change_to(State& from, State& to) { rollcast_switch(&from.stack_pointer, to.stack_pointer); }
#else
UNSEEN void change_to(State& from, State& to) { swapcontext(&from.context, &to.context); }
#endif

UNSEEN void change(State* from, State* to) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to->seen_as, 1);
#endif
  change_to(*from, *to);
}

// The states do not move while fibers run.
inline State* own = nullptr;

UNSEEN void yield() { change(&own[now], &scheduler); }
UNSEEN void finish() {
  own[now].done = true;
  for (;;) change(&own[now], &scheduler);
}

UNSEEN void start() {
  __tsan_acquire(&body);
  body(argument);
  at_end();
  __tsan_release(&own);
  finish();
}

// Runs every fiber that is not done until it gives way; whether there was one.
UNSEEN bool go_round(unsigned n, bool backwards) {
  bool left = false;
  for (unsigned i = 0; i < n; i++) {
    now = backwards ? n - 1 - i : i;
    if (own[now].done) continue;
    left = true;
    change(&scheduler, &own[now]);
  }
  return left;
}

inline void prepare(State& state, unsigned char* stack) {
  state.done = false;
#if defined(__x86_64__)
  // As if `change` had been called from nowhere: six registers, then where to return to; the stack is 16 bytes aligned
  // as a call leaves it.
  uintptr_t top = ((uintptr_t)(stack + STACK) & ~(uintptr_t)15) - 8;
  void** at = (void**)top;
  *--at = (void*)&start;
  for (int i = 0; i < 6; i++) *--at = nullptr;
  state.stack_pointer = at;
#else
  getcontext(&state.context);
  state.context.uc_stack.ss_sp = stack;
  state.context.uc_stack.ss_size = STACK;
  state.context.uc_link = nullptr;
  makecontext(&state.context, (void (*)())&start, 0);
#endif
}

// Runs `n` fibers of one function until all are done. Which goes first between two barriers is nobody's to rely on: they go
// forwards and backwards in turns that differ from run to run, so that a barrier that is missing between two of them shows,
// whichever should have waited.
inline void run(unsigned n, void (*function)(const void*), const void* with, void (*end)()) {
  static uint64_t turns = 0x9e3779b97f4a7c15ull;
  body = function;
  argument = with;
  at_end = end;
  if (states.size() < n) states.resize(n);
  own = states.data();
  while (stacks.size() < n) stacks.push_back((unsigned char*)malloc(STACK));
#if defined(__SANITIZE_THREAD__)
  if (!scheduler.seen_as) scheduler.seen_as = __tsan_get_current_fiber();
  for (unsigned i = 0; i < n; i++)
    if (!states[i].seen_as) states[i].seen_as = __tsan_create_fiber(0);
#endif
  for (unsigned i = 0; i < n; i++) prepare(states[i], stacks[i]);
  __tsan_release(&body);
  do {
    turns = turns * 6364136223846793005ull + 1442695040888963407ull;
  } while (go_round(n, turns >> 63));
  __tsan_acquire(&own);
}

}  // namespace fiber
