// Every kernel's source on the host, and the launch of one by its name.
#pragma once
#define ROLLCAST_HOST
#include "shim.h"

#include "../common.cuh"
#include "../logits.cuh"

// Each source is a translation unit of its own to CUDA's compiler: names may repeat.
namespace attention {
#include "../attention.cu"
}
namespace probe {
#include "../probe.cu"
}
namespace sampling {
#include "../sampling.cu"
}
namespace tokens {
#include "../tokens.cu"
}
namespace verify {
#include "../verify.cu"
}

namespace host {

struct Launch {
  std::string name;
  uint32_t grid[3], threads, shared;
  std::vector<unsigned char> parameters;
};

inline const Kernel* named(const char* name) {
  const Kernel* kernel = Kernel::first();
  while (kernel && strcmp(name, kernel->name) != 0) kernel = kernel->next;
  return kernel;
}

// Runs one launch; says what is wrong with it, or nothing.
inline std::string run(const Launch& launch) {
  const Kernel* kernel = named(launch.name.c_str());
  if (!kernel) return "no such kernel";
  if (kernel->size != launch.parameters.size())
    return "the struct has " + std::to_string(kernel->size) + " bytes, " + std::to_string(launch.parameters.size()) +
           " were given";
  if (kernel->threads != launch.threads) return "the kernel has " + std::to_string(kernel->threads) + " threads";
  const size_t behind = 4096;  // bytes that are looked at
  if (launch.shared > sizeof dynamic - behind) return "too much shared memory";
  memset(dynamic + launch.shared, 0x7f, behind);
  grid_size = {launch.grid[0], launch.grid[1], launch.grid[2]};
  block_size = {launch.threads, 1, 1};
  const uint64_t blocks = (uint64_t)launch.grid[0] * launch.grid[1] * launch.grid[2];
  // Any order will do, so it is not the obvious one: steps of a number that shares no divisor with the count.
  uint64_t step = blocks / 2 + 1;
  for (;;) {
    uint64_t a = step, b = blocks;
    while (b) {
      uint64_t c = a % b;
      a = b;
      b = c;
    }
    if (a == 1) break;
    step++;
  }
  for (uint64_t i = 0, at = blocks - 1; i < blocks; i++, at = (at + step) % blocks) {
    block_index = {(unsigned)(at % launch.grid[0]), (unsigned)(at / launch.grid[0] % launch.grid[1]),
                         (unsigned)(at / launch.grid[0] / launch.grid[1])};
    // What a block finds in shared memory is nothing that it may rely on.
    memset(dynamic, 0x7f, launch.shared);
    block = Barrier();
    block.expected = launch.threads;
    threads.assign(launch.threads, Thread());
    warps.assign((launch.threads + 31) / 32, Warp());
    for (unsigned t = 0; t < launch.threads; t++) {
      threads[t].index = {t, 0, 0};
      warps[t / 32].barrier.expected++;
    }
    fiber::run(launch.threads, kernel->run, launch.parameters.data(), [] {
      block.leave();
      warp().barrier.leave();
    });
    // On a device that is another block's.
    for (const unsigned char* byte = dynamic + launch.shared; byte < dynamic + launch.shared + behind; byte++)
      if (*byte != 0x7f) return launch.name + " wrote behind its " + std::to_string(launch.shared) + " bytes of shared memory";
  }
  return "";
}

}  // namespace host
