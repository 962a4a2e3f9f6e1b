// What all kernels share: numbers in bf16, loads of 16 bytes, reductions over a warp and a block, the PTX of
// asynchronous copies and of matrix instructions. No header of CUDA is needed.
//
// A kernel takes one struct by value, pointers first, then 4-byte numbers (src/calibrate/launch.rs writes its bytes).
// With ROLLCAST_HOST the same source runs on the host, thread by thread (kernels/host/shim.h), with the PTX below
// replaced by what the instruction set's manual says that it computes.
#pragma once

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef ROLLCAST_HOST
#define KERNEL(name, Params, threads, blocks) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Params p)
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define UNROLL_BY(n) PRAGMA(unroll n)
#define PRAGMA(text) _Pragma(#text)
#define SHARED_BYTES(name) extern __shared__ __align__(128) unsigned char name[]
#endif

#define INFINITY_F __int_as_float(0x7f800000)
#define LOG2E 1.4426950408889634f

struct alignas(16) Vec16 {
  u32 x[4];
};

DEVICE float to_float(bf16 x) { return __uint_as_float((u32)x << 16); }
// Two at a time, the first in the low half.
DEVICE float low_float(u32 x) { return __uint_as_float(x << 16); }
DEVICE float high_float(u32 x) { return __uint_as_float(x & 0xffff0000u); }

#ifndef ROLLCAST_HOST
// Rounds to nearest, ties to even.
DEVICE u32 pack(float low, float high) {
  u32 out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// 16 bytes from device to shared memory; zeros where `there` is false.
DEVICE void copy_async(void* to, const void* from, bool there) {
  int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT>
DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

// Four 8x8 matrices of bf16 from shared memory; lane l names row l % 8 of matrix l / 8.
DEVICE void load_matrices(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}
DEVICE void load_matrices_transposed(u32 (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}

// c[16x8] += a[16x16] b[16x8].
DEVICE void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// x, from which nothing is computed earlier than here: what a loop seldom needs would be kept in registers all along,
// and fewer blocks would share a multiprocessor.
DEVICE int not_before(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// Read once, not kept in the L1.
DEVICE Vec16 load_stream(const void* p) {
  Vec16 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x[0]), "=r"(v.x[1]), "=r"(v.x[2]), "=r"(v.x[3])
               : "l"(p));
  return v;
}

template <typename T>
DEVICE T shuffle_xor(T x, int mask) {
  return __shfl_xor_sync(0xffffffffu, x, mask);
}
template <typename T>
DEVICE T shuffle_up(T x, int by) {
  return __shfl_up_sync(0xffffffffu, x, by);
}
// L2 of the whole device: what other blocks wrote before their fence.
DEVICE float load_fresh(const float* p) { return __ldcg(p); }
DEVICE int load_fresh(const int* p) { return __ldcg(p); }
DEVICE Vec16 load_fresh16(const void* p) {
  Vec16 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x[0]), "=r"(v.x[1]), "=r"(v.x[2]), "=r"(v.x[3])
               : "l"(p));
  return v;
}
#endif

DEVICE Vec16 load16(const void* p) { return *(const Vec16*)p; }
DEVICE void store16(void* p, const Vec16& v) { *(Vec16*)p = v; }

DEVICE bf16 to_bf16(float x) { return (bf16)(pack(x, 0.f) & 0xffffu); }

DEVICE float warp_sum(float x) {
  UNROLL for (int m = 16; m > 0; m >>= 1) x += shuffle_xor(x, m);
  return x;
}
DEVICE float warp_max(float x) {
  UNROLL for (int m = 16; m > 0; m >>= 1) x = fmaxf(x, shuffle_xor(x, m));
  return x;
}

// Sum over a block of WARPS warps, in every thread. `scratch` holds WARPS floats.
template <int WARPS>
DEVICE float block_sum(float x, float* scratch) {
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0.f;
  UNROLL for (int w = 0; w < WARPS; w++) sum += scratch[w];
  __syncthreads();
  return sum;
}

// Whether this block is the last of `blocks` to arrive at the counter, which is then zero again for the next launch.
// What the blocks wrote before is visible to the last one.
DEVICE bool last_to_arrive(int* counter, int blocks, int* flag) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int before = atomicAdd(counter, 1);
    *flag = before == blocks - 1;
    if (*flag) *counter = 0;
  }
  __syncthreads();
  bool last = *flag != 0;
  __threadfence();
  return last;
}
