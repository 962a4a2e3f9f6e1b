// Kernels over rows of logits (logits.cuh): statistics, sampling, the eight largest.
#include "logits.cuh"

struct RowParams {
  const float* logits;  // [rows, vocabulary]
  const float* uniform; // [rows], for sampling
  float* stats;         // [rows, 2]: maximum and sum
  int* out;             // [rows]: argmax, or the sample; [rows, 8] for the largest
  float* partial;       // [rows, splits, 16]: maximum, sum, argmax, and from 8 on the sums of warps' parts
  int* arrived;         // [rows], zero
  int vocabulary;
  int splits;
  float scale;
};

namespace {

// Statistics of a row by all of its blocks: whether this block is the last, and the row's in `all`, the chunks' in
// `own`. `flag` is one int of shared memory.
DEVICE bool row_stats_of(const RowParams& p, Stats* scratch, int* flag, Stats& all, float* most, float* sums) {
  const int row = blockIdx.x, split = blockIdx.y;
  const float* logits = p.logits + (long long)row * p.vocabulary;
  const Stats own = stats_of(logits, chunk_of(p.vocabulary, p.splits, split), p.scale, scratch);
  float* parts = p.partial + (long long)row * p.splits * 16;
  if (threadIdx.x == 0) {
    parts[split * 16] = own.most;
    parts[split * 16 + 1] = own.sum;
    parts[split * 16 + 2] = __int_as_float(own.where);
  }
  if (threadIdx.x < WARPS) {
    const Stats part = scratch[threadIdx.x];
    parts[split * 16 + 8 + threadIdx.x] = part.sum > 0.f ? part.sum * exp2_fast(part.most - own.most) : 0.f;
  }
  if (!last_to_arrive(p.arrived + row, p.splits, flag)) return false;
  // Every warp joins all chunks, a lane each: the loads come from the L2, and none waits for another.
  const int lane = threadIdx.x % 32;
  UNROLL for (int half = 0; half < MOST_SPLITS / 32; half++) {
    const int s = half * 32 + lane;
    Stats part;
    part.most = -INFINITY_F;
    part.sum = 0.f;
    part.where = 0x7fffffff;
    if (s < p.splits) {
      part.most = load_fresh(parts + s * 16);
      part.sum = load_fresh(parts + s * 16 + 1);
      part.where = __float_as_int(load_fresh(parts + s * 16 + 2));
      if (threadIdx.x < 32) {
        most[s] = part.most;
        sums[s] = part.sum;
      }
    }
    all = half == 0 ? part : join(all, part);
  }
  all = join_warp(all);
  __syncthreads();
  if (threadIdx.x == 0) {
    p.stats[2 * row] = all.most;
    p.stats[2 * row + 1] = all.sum;
  }
  return true;
}

}  // namespace

KERNEL(row_stats, RowParams, 256, 4) {
  __shared__ Stats scratch[WARPS];
  __shared__ float most[MOST_SPLITS], sums[MOST_SPLITS];
  __shared__ int flag;
  Stats all;
  if (!row_stats_of(p, scratch, &flag, all, most, sums)) return;
  if (threadIdx.x == 0) p.out[blockIdx.x] = all.where;
}

namespace {

struct SoftmaxWeight {
  const float* row;
  float scale, most;
  template <int N>
  DEVICE void look(const int (&)[N], Chunk, Vec16 (&map)[N]) const {
    UNROLL for (int j = 0; j < N; j++) map[j] = Vec16();
  }
  template <int N>
  DEVICE void weigh(const int (&at)[N], Chunk c, const Vec16 (&)[N], float (&w)[N][4]) const {
    Vec16 x[N];
    UNROLL for (int j = 0; j < N; j++) x[j] = load_stream(row + within(at[j], c));
    UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
      w[j][i] = at[j] < c.end ? exp2_fast(__uint_as_float(x[j].x[i]) * scale - most) : 0.f;
  }
};

}  // namespace

// One token of the softmax, by inversion: the first whose running sum exceeds u times the whole.
KERNEL(sample, RowParams, 256, 4) {
  __shared__ Stats scratch[WARPS];
  __shared__ float most[MOST_SPLITS], sums[MOST_SPLITS], parts[WARPS], shared[2 * PICKED * WARPS];
  __shared__ int flag, found[2];
  Stats all;
  if (!row_stats_of(p, scratch, &flag, all, most, sums)) return;
  if ((int)threadIdx.x < p.splits) sums[threadIdx.x] *= sums[threadIdx.x] > 0.f ? exp2_fast(most[threadIdx.x] - all.most) : 0.f;
  __syncthreads();
  float target = p.uniform[blockIdx.x] * all.sum;
  const int split = pick_chunk(sums, p.splits, target);
  // Then the warp's part, an eighth of the chunk: only that is read again.
  if (threadIdx.x < WARPS) {
    const float part = load_fresh(p.partial + ((long long)blockIdx.x * p.splits + split) * 16 + 8 + threadIdx.x);
    parts[threadIdx.x] = part > 0.f ? part * exp2_fast(most[split] - all.most) : 0.f;
  }
  __syncthreads();
  const Chunk c = part_of(chunk_of(p.vocabulary, p.splits, split), pick_chunk(parts, WARPS, target));
  SoftmaxWeight weight;
  weight.row = p.logits + (long long)blockIdx.x * p.vocabulary;
  weight.scale = p.scale;
  weight.most = all.most;
  const int token = pick(c, target, weight, shared, found);
  if (threadIdx.x == 0) p.out[blockIdx.x] = token;
}

namespace {

// An int whose order is that of floats.
DEVICE int order(float x) {
  const int bits = __float_as_int(x);
  return bits ^ (bits < 0 ? 0x7fffffff : 0);
}

// A number whose order is that of (ordered value, earlier index first).
DEVICE u64 rank(int ordered, int index) { return ((u64)((u32)ordered ^ 0x80000000u) << 32) | (u32)~index; }

const int LOWEST = -0x7fffffff - 1;

const int K = 8;

DEVICE void insert(u64 (&list)[K], u64 key) {
  if (key <= list[K - 1]) return;
  UNROLL for (int i = 0; i < K; i++) {
    if (key > list[i]) {
      const u64 old = list[i];
      list[i] = key;
      key = old;
    }
  }
}

// The K largest over the block's lists, in every thread.
DEVICE void merge(u64 (&list)[K], u64* shared, u64 (&best)[K]) {
  UNROLL for (int round = 0; round < K; round++) {
    u64 most = list[0];
    UNROLL for (int m = 16; m > 0; m >>= 1) {
      const u64 other = shuffle_xor(most, m);
      if (other > most) most = other;
    }
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = most;
    __syncthreads();
    most = shared[0];
    UNROLL for (int w = 1; w < WARPS; w++)
      if (shared[w] > most) most = shared[w];
    __syncthreads();
    best[round] = most;
    // Keys differ by their index: one thread has it.
    if (list[0] == most) {
      UNROLL for (int i = 0; i + 1 < K; i++) list[i] = list[i + 1];
      list[K - 1] = 0;
    }
  }
}

}  // namespace

KERNEL(top_k, RowParams, 256, 4) {
  __shared__ u64 shared[WARPS];
  __shared__ int flag, tops[WARPS];
  const int row = blockIdx.x, split = blockIdx.y;
  const float* logits = p.logits + (long long)row * p.vocabulary;
  const Chunk c = chunk_of(p.vocabulary, p.splits, split);
  u64 list[K], best[K];
  UNROLL for (int i = 0; i < K; i++) list[i] = 0;
  if (threadIdx.x < WARPS) tops[threadIdx.x] = LOWEST;
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int tile = c.begin; tile < c.end; tile += AHEAD * THREADS * 4) {
    const int from = tile + threadIdx.x * 4;
    Vec16 v[AHEAD];
    UNROLL for (int j = 0; j < AHEAD; j++) v[j] = load_stream(logits + within(from + j * THREADS * 4, c));
    int x[AHEAD][4], most[AHEAD], top = LOWEST;
    UNROLL for (int j = 0; j < AHEAD; j++) {
      most[j] = LOWEST;
      UNROLL for (int i = 0; i < 4; i++) {
        x[j][i] = order(__uint_as_float(v[j].x[i]));
        if (x[j][i] > most[j]) most[j] = x[j][i];
      }
      if (from + j * THREADS * 4 < c.end && most[j] > top) top = most[j];
    }
    // Eight warps have eight largest values, so what is below the least of them is not among the eight largest: few
    // elements are then inserted. Atomically, as no barrier says what other warps have seen by now; what is old is only
    // lower. In the first tile a barrier does, since most would be inserted there.
    UNROLL for (int m = 16; m > 0; m >>= 1) {
      const int other = shuffle_xor(top, m);
      if (other > top) top = other;
    }
    if (lane == 0) atomicMax(&tops[warp], top);
    if (tile == c.begin) __syncthreads();
    int least = atomicMax(&tops[lane % WARPS], LOWEST);
    UNROLL for (int m = WARPS / 2; m > 0; m >>= 1) {
      const int other = shuffle_xor(least, m);
      if (other < least) least = other;
    }
    UNROLL for (int j = 0; j < AHEAD; j++) {
      const int at = from + j * THREADS * 4;
      if (at >= c.end || most[j] < least) continue;
      UNROLL for (int i = 0; i < 4; i++)
        if (x[j][i] >= least) insert(list, rank(x[j][i], at + i));
    }
  }
  merge(list, shared, best);
  float* parts = p.partial + (long long)row * p.splits * 16;
  if (threadIdx.x == 0) {
    UNROLL for (int i = 0; i < K; i++) {
      parts[split * 16 + 2 * i] = __uint_as_float((u32)(best[i] >> 32));
      parts[split * 16 + 2 * i + 1] = __uint_as_float((u32)best[i]);
    }
  }
  if (!last_to_arrive(p.arrived + row, p.splits, &flag)) return;
  UNROLL for (int i = 0; i < K; i++) list[i] = 0;
  for (int at = threadIdx.x; at < p.splits * K; at += THREADS) {
    const u32 high = __float_as_uint(load_fresh(parts + 2 * at)), low = __float_as_uint(load_fresh(parts + 2 * at + 1));
    insert(list, ((u64)high << 32) | low);
  }
  merge(list, shared, best);
  if (threadIdx.x == 0) {
    UNROLL for (int i = 0; i < K; i++) p.out[row * K + i] = (int)~(u32)best[i];
  }
}
