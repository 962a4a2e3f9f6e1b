// The kernels' source on the host, thread by thread: what CUDA's compiler brings, and what the PTX of common.cuh
// computes by the manual of the instruction set.
//
// A block's threads are fibers that switch at barriers only, in an order that changes. Blocks run one after the other, in
// an order that is not their own. Asynchronous copies arrive when they are waited for and not before, so that a wait too
// weak is seen.
// Built for ThreadSanitizer (-fsanitize=thread) it also says which accesses of a block's threads no barrier orders: a fiber
// is then a thread, a block's barrier orders, exchanges inside a warp do not (no more than the manual says), and a copy on
// its way writes from when it is sent until it is waited for.
// What this cannot see: memory ordering between blocks, alignment, speed.
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
  UNSEEN void pass_if_full() {
    if (arrived > 0 && arrived == expected) {
      arrived = 0;
      generation++;
    }
  }
  UNSEEN void wait() {
    const unsigned mine = generation;
    arrived++;
    pass_if_full();
    while (generation == mine) fiber::yield();
  }
  UNSEEN void leave() {
    expected--;
    pass_if_full();
  }
};

struct Thread {
  Dim3 index;
  unsigned exchanges = 0, barriers = 0;
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

// Whether barriers order nothing in the eyes of ThreadSanitizer: a test that it sees what they order.
inline const bool deaf = getenv("ROLLCAST_DEAF") != nullptr;

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

// Two places in turns: what is ordered before the next barrier must not seem ordered before this one.
inline void __syncthreads() {
  static char orders[2];
  char* at = &orders[host::thread().barriers++ % 2];
  if (!host::deaf) __tsan_release(at);
  host::block.wait();
  if (!host::deaf) __tsan_acquire(at);
}
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
// Fibers do not interrupt each other, but ThreadSanitizer should know what is atomic.
inline int atomicAdd(int* at, int x) { return __atomic_fetch_add(at, x, __ATOMIC_RELAXED); }
inline int atomicMin(int* at, int x) {
  int old = __atomic_load_n(at, __ATOMIC_RELAXED);
  if (x < old) __atomic_store_n(at, x, __ATOMIC_RELAXED);
  return old;
}
inline int atomicMax(int* at, int x) {
  int old = __atomic_load_n(at, __ATOMIC_RELAXED);
  if (x > old) __atomic_store_n(at, x, __ATOMIC_RELAXED);
  return old;
}

inline unsigned rounded(float x) {
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}
inline unsigned pack(float low, float high) { return rounded(low) | rounded(high) << 16; }

namespace host {
// A register of every thread, in turns two sets of them: another lane's.
UNSEEN uint64_t exchanged(Warp* warp, unsigned turn, unsigned lane, uint64_t x, int from) {
  uint64_t* slot = warp->slot[turn];
  slot[lane] = x;
  warp->barrier.wait();
  return slot[from];
}
}  // namespace host

template <typename T>
inline T exchange(T x, int from) {
  static_assert(sizeof(T) <= 8, "a register pair");
  uint64_t given = 0;
  memcpy(&given, &x, sizeof(T));
  const uint64_t got = host::exchanged(&host::warp(), host::thread().exchanges++ % 2, host::lane(), given, from);
  T y;
  memcpy(&y, &got, sizeof(T));
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

inline int not_before(int x) { return x; }
inline float load_fresh(const float* p) { return *p; }
inline int load_fresh(const int* p) { return *p; }

inline void copy_async(void* to, const void* from, bool there) {
  host::Copy copy;
  copy.to = to;
  memset(copy.bytes, 0, 16);
  if (there) memcpy(copy.bytes, from, 16);
  __tsan_write16(to);
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

namespace host {
// The row that each lane names is read by the whole warp, once all have named theirs.
UNSEEN void matrices(Warp* warp, unsigned lane, unsigned (&r)[4], const void* row, bool transposed) {
  warp->row[lane] = (const unsigned short*)row;
  warp->barrier.wait();
  for (unsigned j = 0; j < 4; j++) {
    if (transposed) {
      r[j] = warp->row[j * 8 + 2 * (lane % 4)][lane / 4] | (unsigned)warp->row[j * 8 + 2 * (lane % 4) + 1][lane / 4] << 16;
    } else {
      const unsigned short* own = warp->row[j * 8 + lane / 4] + 2 * (lane % 4);
      r[j] = own[0] | (unsigned)own[1] << 16;
    }
  }
  warp->barrier.wait();
}

// One instruction of the tensor cores: the warp's registers put together.
UNSEEN void multiply(Warp* warp, unsigned lane, float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  for (int i = 0; i < 4; i++) warp->a[lane][i] = a[i];
  warp->b[lane][0] = b0;
  warp->b[lane][1] = b1;
  warp->barrier.wait();
  for (unsigned i = 0; i < 4; i++) {
    const unsigned row = lane / 4 + (i / 2) * 8, column = (lane % 4) * 2 + i % 2;
    float sum = c[i];
    for (unsigned k = 0; k < 16; k++) {
      const float x = value(warp->a[row % 8 * 4 + k % 8 / 2][(row >= 8) + 2 * (k >= 8)], k % 2);
      const float y = value(warp->b[column * 4 + k % 8 / 2][k >= 8], k % 2);
      sum += x * y;
    }
    c[i] = sum;
  }
  warp->barrier.wait();
}
}  // namespace host

inline void load_matrices_of(unsigned (&r)[4], const void* row, bool transposed) {
  __tsan_read16((void*)row);
  host::matrices(&host::warp(), host::lane(), r, row, transposed);
}
inline void load_matrices(unsigned (&r)[4], const void* row) { load_matrices_of(r, row, false); }
inline void load_matrices_transposed(unsigned (&r)[4], const void* row) { load_matrices_of(r, row, true); }

inline void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  host::multiply(&host::warp(), host::lane(), c, a, b0, b1);
}

#define load_stream(p) load16(p)
#define load_fresh16(p) load16(p)
