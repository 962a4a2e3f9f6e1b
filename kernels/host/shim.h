// The kernels' source on the host, thread by thread: what CUDA's compiler brings, and what the PTX of common.cuh
// computes by the manual of the instruction set.
//
// A block's threads are fibers that switch at barriers only. Blocks run one after the other, in an order that is not
// their own. Asynchronous copies arrive when they are waited for and not before, so that a wait too weak is seen.
// What this cannot see: races inside a warp between barriers, memory ordering between blocks, alignment, speed.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"

#define __shared__ static
#define DEVICE inline
#define UNROLL
#define UNROLL_BY(n)
#define SHARED_BYTES(name) unsigned char* name = host::dynamic
#define KERNEL(name, Params, threads, blocks)                                                              \
  static void name##_body(const Params& p);                                                                \
  static host::Kernel name##_kernel(#name, sizeof(Params), threads,                                        \
                                    [](const void* p) { name##_body(*(const Params*)p); });                \
  static void name##_body(const Params& p)

struct Dim3 {
  unsigned x, y, z;
};

namespace host {

struct Kernel {
  const char* name;
  size_t size;
  unsigned threads;
  void (*run)(const void*);
  Kernel* next;
  static Kernel*& first() {
    static Kernel* kernel = nullptr;
    return kernel;
  }
  Kernel(const char* name, size_t size, unsigned threads, void (*run)(const void*))
      : name(name), size(size), threads(threads), run(run), next(first()) {
    first() = this;
  }
};

struct Copy {
  void* to;
  unsigned char bytes[16];
};

// Threads that meet.
struct Barrier {
  unsigned expected = 0, arrived = 0, generation = 0;
  void pass_if_full() {
    if (arrived > 0 && arrived == expected) {
      arrived = 0;
      generation++;
    }
  }
  void wait() {
    const unsigned mine = generation;
    arrived++;
    pass_if_full();
    while (generation == mine) fiber::yield();
  }
  void leave() {
    expected--;
    pass_if_full();
  }
};

struct Thread {
  Dim3 index;
  unsigned exchanges = 0;
  std::vector<std::vector<Copy>> groups;
};

struct Warp {
  Barrier barrier;
  // Two sets, used in turns: nobody can write a set again before all have read it and met at the other.
  uint64_t slot[2][32];
  const unsigned short* row[32];
  uint32_t a[32][4], b[32][2];
};

alignas(128) inline unsigned char dynamic[256 << 10];
inline Dim3 block_index, grid_size, block_size;
inline Barrier block;
inline std::vector<Thread> threads;
inline std::vector<Warp> warps;

inline Thread& thread() { return threads[fiber::current()]; }
inline Warp& warp() { return warps[fiber::current() / 32]; }
inline unsigned lane() { return fiber::current() % 32; }

inline float value(uint32_t pair, unsigned half) {
  uint32_t bits = half ? pair & 0xffff0000u : pair << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

}  // namespace host

#define threadIdx (host::thread().index)
#define blockIdx host::block_index
#define blockDim host::block_size
#define gridDim host::grid_size

inline void __syncthreads() { host::block.wait(); }
inline void __threadfence() {}

inline float __uint_as_float(unsigned x) {
  float y;
  memcpy(&y, &x, 4);
  return y;
}
inline unsigned __float_as_uint(float x) {
  unsigned y;
  memcpy(&y, &x, 4);
  return y;
}
inline float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
inline int __float_as_int(float x) { return (int)__float_as_uint(x); }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float cospif(float x) { return (float)cos(3.14159265358979323846 * x); }
inline float exp2_fast(float x) { return exp2f(x); }
inline int atomicAdd(int* at, int x) {
  int old = *at;
  *at = old + x;
  return old;
}
inline int atomicMin(int* at, int x) {
  int old = *at;
  if (x < old) *at = x;
  return old;
}
inline int atomicMax(int* at, int x) {
  int old = *at;
  if (x > old) *at = x;
  return old;
}

inline unsigned rounded(float x) {
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}
inline unsigned pack(float low, float high) { return rounded(low) | rounded(high) << 16; }

template <typename T>
inline T exchange(T x, int from) {
  static_assert(sizeof(T) <= 8, "a register pair");
  host::Warp& warp = host::warp();
  uint64_t* slot = warp.slot[host::thread().exchanges++ % 2];
  memcpy(&slot[host::lane()], &x, sizeof(T));
  warp.barrier.wait();
  T y;
  memcpy(&y, &slot[from], sizeof(T));
  return y;
}
template <typename T>
inline T shuffle_xor(T x, int mask) {
  return exchange(x, (int)host::lane() ^ mask);
}
template <typename T>
inline T shuffle_up(T x, int by) {
  int from = (int)host::lane() - by;
  return exchange(x, from < 0 ? (int)host::lane() : from);
}

inline float load_fresh(const float* p) { return *p; }
inline int load_fresh(const int* p) { return *p; }

inline void copy_async(void* to, const void* from, bool there) {
  host::Copy copy;
  copy.to = to;
  memset(copy.bytes, 0, 16);
  if (there) memcpy(copy.bytes, from, 16);
  auto& groups = host::thread().groups;
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back(copy);
}
inline void copy_commit() {
  auto& groups = host::thread().groups;
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}
template <int LEFT>
inline void copy_wait() {
  auto& groups = host::thread().groups;
  // The last group is open: it is not waited for.
  while (groups.size() > LEFT + 1) {
    for (const host::Copy& copy : groups.front()) memcpy(copy.to, copy.bytes, 16);
    groups.erase(groups.begin());
  }
}

inline void load_matrices_of(unsigned (&r)[4], const void* row, bool transposed) {
  host::Warp& warp = host::warp();
  const unsigned lane = host::lane();
  warp.row[lane] = (const unsigned short*)row;
  warp.barrier.wait();
  for (unsigned j = 0; j < 4; j++) {
    if (transposed) {
      r[j] = warp.row[j * 8 + 2 * (lane % 4)][lane / 4] | (unsigned)warp.row[j * 8 + 2 * (lane % 4) + 1][lane / 4] << 16;
    } else {
      const unsigned short* own = warp.row[j * 8 + lane / 4] + 2 * (lane % 4);
      r[j] = own[0] | (unsigned)own[1] << 16;
    }
  }
  warp.barrier.wait();
}
inline void load_matrices(unsigned (&r)[4], const void* row) { load_matrices_of(r, row, false); }
inline void load_matrices_transposed(unsigned (&r)[4], const void* row) { load_matrices_of(r, row, true); }

inline void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  host::Warp& warp = host::warp();
  const unsigned lane = host::lane();
  for (int i = 0; i < 4; i++) warp.a[lane][i] = a[i];
  warp.b[lane][0] = b0;
  warp.b[lane][1] = b1;
  warp.barrier.wait();
  for (unsigned i = 0; i < 4; i++) {
    const unsigned row = lane / 4 + (i / 2) * 8, column = (lane % 4) * 2 + i % 2;
    float sum = c[i];
    for (unsigned k = 0; k < 16; k++) {
      const float x = host::value(warp.a[row % 8 * 4 + k % 8 / 2][(row >= 8) + 2 * (k >= 8)], k % 2);
      const float y = host::value(warp.b[column * 4 + k % 8 / 2][k >= 8], k % 2);
      sum += x * y;
    }
    c[i] = sum;
  }
  warp.barrier.wait();
}

#define load_stream(p) load16(p)
#define load_fresh16(p) load16(p)
