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

namespace fiber {

const size_t STACK = 128 << 10;

struct State {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  bool done = false;
};

inline std::vector<State> states;
inline std::vector<unsigned char*> stacks;
inline State scheduler;
inline unsigned now = 0;
inline void (*body)(const void*) = nullptr;
inline void (*at_end)() = nullptr;
inline const void* argument = nullptr;

inline unsigned current() { return now; }

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
inline void change(State& from, State& to) { rollcast_switch(&from.stack_pointer, to.stack_pointer); }
#else
inline void change(State& from, State& to) { swapcontext(&from.context, &to.context); }
#endif

inline void yield() { change(states[now], scheduler); }

inline void start() {
  body(argument);
  at_end();
  states[now].done = true;
  for (;;) yield();
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

// Runs `n` fibers of one function until all are done.
inline void run(unsigned n, void (*function)(const void*), const void* with, void (*end)()) {
  body = function;
  argument = with;
  at_end = end;
  states.resize(n);
  while (stacks.size() < n) stacks.push_back((unsigned char*)malloc(STACK));
  for (unsigned i = 0; i < n; i++) prepare(states[i], stacks[i]);
  for (bool left = true; left;) {
    left = false;
    for (now = 0; now < n; now++) {
      if (states[now].done) continue;
      left = true;
      change(scheduler, states[now]);
    }
  }
}

}  // namespace fiber
