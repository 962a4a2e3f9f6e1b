// What measuring itself needs: a copy for the ceiling of bandwidth, a read that leaves the cache clean, kernels that do
// nothing for no time or for a given one, a look at the clock, random contents.
#include "common.cuh"

struct CopyParams {
  const Vec16* from;
  Vec16* to;
  int low, high;  // vectors of 16 bytes, 64 bits in two halves
};

// A persistent grid; eight independent loads in flight in each thread.
KERNEL(copy, CopyParams, 256, 4) {
  const long long n = (long long)(((u64)(u32)p.high << 32) | (u32)p.low);
  const long long stride = (long long)gridDim.x * blockDim.x * 8;
  for (long long at = (long long)blockIdx.x * blockDim.x * 8 + threadIdx.x; at < n; at += stride) {
    Vec16 v[8];
    UNROLL for (int i = 0; i < 8; i++)
      if (at + i * (long long)blockDim.x < n) v[i] = load_stream(p.from + at + i * (long long)blockDim.x);
    UNROLL for (int i = 0; i < 8; i++)
      if (at + i * (long long)blockDim.x < n) store16(p.to + at + i * (long long)blockDim.x, v[i]);
  }
}

struct ReadParams {
  const Vec16* from;
  u32* out;       // what each thread read, put together; null where nobody asks
  int low, high;  // vectors of 16 bytes, 64 bits in two halves
};

// Everything is read and nothing written: what the L2 holds then need not go back to memory.
KERNEL(read, ReadParams, 256, 4) {
  const long long n = (long long)(((u64)(u32)p.high << 32) | (u32)p.low);
  const long long stride = (long long)gridDim.x * blockDim.x * 8;
  u32 all = 0;
  for (long long at = (long long)blockIdx.x * blockDim.x * 8 + threadIdx.x; at < n; at += stride) {
    UNROLL for (int i = 0; i < 8; i++) {
      if (at + i * (long long)blockDim.x < n) {
        const Vec16 v = load_stream(p.from + at + i * (long long)blockDim.x);
        all ^= v.x[0] ^ v.x[1] ^ v.x[2] ^ v.x[3];
      }
    }
  }
  if (p.out) p.out[blockIdx.x * blockDim.x + threadIdx.x] = all;
}

struct EmptyParams {
  int* nothing;
};

KERNEL(empty, EmptyParams, 32, 1) {
  if (p.nothing) *p.nothing = 0;
}

#ifndef ROLLCAST_HOST
struct SpinParams {
  int low, high;  // nanoseconds, 64 bits in two halves
};

KERNEL(spin, SpinParams, 32, 1) {
  if (threadIdx.x != 0) return;
  const u64 long_enough = ((u64)(u32)p.high << 32) | (u32)p.low;
  u64 begin, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < long_enough);
}

struct ClockParams {
  u64* out;  // cycles of one multiprocessor, nanoseconds
};

// Both clocks over about 50 us; the nanosecond clock ticks coarsely, so shorter would be noise.
KERNEL(clocks, ClockParams, 32, 1) {
  if (threadIdx.x != 0) return;
  u64 begin, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now == begin);
  begin = now;
  const long long cycles = clock64();
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < 50000);
  p.out[0] = (u64)(clock64() - cycles);
  p.out[1] = now - begin;
}
#endif

struct FillParams {
  void* out;
  int low, high;   // elements, 64 bits in two halves
  int kind;        // 0 normal bf16, 1 normal f32, 2 uniform f32, 3 normal e4m3
  int seed;
  float sd;
};

// The finaliser of SplitMix64: a hash of the counter, as in src/rng.rs.
DEVICE u64 mix(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

DEVICE unsigned char to_e4m3(float x) {
  const u32 sign = __float_as_uint(x) >> 31 << 7;
  float a = fabsf(x);
  if (a >= 448.f) return (unsigned char)(sign | 0x7e);
  if (a < 0.015625f) return (unsigned char)(sign | (u32)(a * 512.f + 0.5f));
  const u32 rounded = __float_as_uint(a) + 0x00080000u;  // half of the last of three bits kept
  return (unsigned char)(sign | (((rounded >> 23) - 120) << 3) | ((rounded >> 20) & 7));
}

KERNEL(fill, FillParams, 256, 4) {
  const u64 n = ((u64)(u32)p.high << 32) | (u32)p.low;
  const u64 stride = (u64)gridDim.x * blockDim.x;
  for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
    const u64 bits = mix(mix((u64)p.seed) + i * 0x9e3779b97f4a7c15ull);
    const float u = ((float)(bits >> 40) + 0.5f) * (1.f / 16777216.f);
    const float v = (float)(bits & 0xffffff) * (1.f / 16777216.f);
    // Box and Muller. The cosine of a multiple of pi needs no table on the stack to bring its argument near zero.
    const float normal = p.sd * sqrtf(-2.f * logf(u)) * cospif(2.f * v);
    if (p.kind == 0) ((bf16*)p.out)[i] = to_bf16(normal);
    if (p.kind == 1) ((float*)p.out)[i] = normal;
    if (p.kind == 2) ((float*)p.out)[i] = v;
    if (p.kind == 3) ((unsigned char*)p.out)[i] = to_e4m3(normal);
  }
}
