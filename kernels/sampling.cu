// Kernels over rows of logits: statistics, sampling, the eight largest, verification of a chain.
//
// A row is cut into chunks, one block each, so that few rows fill the device too; rows are the grid's first axis, which
// alone may be long. The last block of a row to arrive
// adds the chunks up and does the rest: it looks again at one chunk only. Logits are f32, rows a multiple of four long.
// Softmax at temperature T: weight of logit x is 2^(x s - m), s = log2(e) / T, m the largest x s of the row.
#include "common.cuh"

namespace {

const int THREADS = 256;
const int WARPS = THREADS / 32;

struct Chunk {
  int begin, end;
};

// Chunks are multiples of four elements.
DEVICE Chunk chunk_of(int n, int splits, int split) {
  const int size = (((n + splits - 1) / splits) + 3) / 4 * 4;
  Chunk c;
  c.begin = split * size;
  c.end = c.begin + size;
  if (c.begin > n) c.begin = n;
  if (c.end > n) c.end = n;
  return c;
}

// Maximum (already scaled), sum of 2^(x s - maximum), position of the maximum.
struct Stats {
  float most, sum;
  int where;
};

DEVICE Stats join(const Stats& a, const Stats& b) {
  const bool first = a.most > b.most || (a.most == b.most && a.where < b.where);
  Stats r;
  r.most = first ? a.most : b.most;
  r.where = first ? a.where : b.where;
  r.sum = 0.f;
  if (a.sum > 0.f) r.sum += a.sum * exp2_fast(a.most - r.most);
  if (b.sum > 0.f) r.sum += b.sum * exp2_fast(b.most - r.most);
  return r;
}

// All of a warp, in every thread.
DEVICE Stats join_warp(Stats own) {
  UNROLL for (int m = 16; m > 0; m >>= 1) {
    Stats other;
    other.most = shuffle_xor(own.most, m);
    other.sum = shuffle_xor(own.sum, m);
    other.where = shuffle_xor(own.where, m);
    own = join(own, other);
  }
  return own;
}

// Of a chunk, in every thread. `scratch` holds WARPS entries.
DEVICE Stats stats_of(const float* row, Chunk c, float scale, Stats* scratch) {
  Stats own;
  own.most = -INFINITY_F;
  own.sum = 0.f;
  own.where = 0x7fffffff;
  for (int at = c.begin + threadIdx.x * 4; at < c.end; at += THREADS * 4) {
    const Vec16 v = load_stream(row + at);
    float x[4];
    UNROLL for (int i = 0; i < 4; i++) x[i] = __uint_as_float(v.x[i]) * scale;
    float most = own.most;
    UNROLL for (int i = 0; i < 4; i++) {
      if (x[i] > most) {
        most = x[i];
        own.where = at + i;
      }
    }
    if (most > own.most) {
      own.sum *= exp2_fast(own.most - most);
      own.most = most;
    }
    UNROLL for (int i = 0; i < 4; i++) own.sum += x[i] == -INFINITY_F ? 0.f : exp2_fast(x[i] - own.most);
  }
  own = join_warp(own);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = own;
  __syncthreads();
  Stats all = scratch[0];
  UNROLL for (int w = 1; w < WARPS; w++) all = join(all, scratch[w]);
  __syncthreads();
  return all;
}

// The first index at which the running sum of `weight` from `begin` exceeds `target`; where rounding lets none, the
// last that weighs anything. In every thread. `shared` holds WARPS floats and two ints.
template <typename Weight>
DEVICE int pick(Chunk c, float target, const Weight& weight, float* shared, int* found) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    found[0] = 0x7fffffff;
    found[1] = -1;
  }
  __syncthreads();
  float before = 0.f;
  for (int tile = c.begin; tile < c.end; tile += THREADS * 4) {
    const int at = tile + threadIdx.x * 4;
    float w[4], own = 0.f;
    UNROLL for (int i = 0; i < 4; i++) {
      w[i] = at + i < c.end ? weight(at + i) : 0.f;
      own += w[i];
    }
    float scan = own;
    UNROLL for (int by = 1; by < 32; by <<= 1) {
      const float other = shuffle_up(scan, by);
      if (lane >= by) scan += other;
    }
    if (lane == 31) shared[warp] = scan;
    __syncthreads();
    float base = before;
    UNROLL for (int i = 0; i < WARPS; i++) {
      if (i < warp) base += shared[i];
      before += shared[i];
    }
    float running = base + scan - own;
    UNROLL for (int i = 0; i < 4; i++) {
      running += w[i];
      if (w[i] > 0.f) {
        atomicMax(&found[1], at + i);
        if (running > target) atomicMin(&found[0], at + i);
      }
    }
    __syncthreads();
    if (found[0] != 0x7fffffff) break;
  }
  const int result = found[0] != 0x7fffffff ? found[0] : found[1];
  __syncthreads();
  return result;
}

// The chunk in which the running sum of chunks exceeds `target`, and what is left of the target in it. Where rounding
// lets none, the last that weighs anything.
DEVICE int pick_chunk(const float* sums, int splits, float& target) {
  int last = 0;
  bool found = false;
  float running = 0.f, before_last = 0.f;
  // To the end, and without a branch: the sums are then read ahead.
  UNROLL_BY(8) for (int s = 0; s < splits; s++) {
    const float own = sums[s];
    const bool here = !found && own > 0.f;
    last = here ? s : last;
    before_last = here ? running : before_last;
    running += own;
    found = found || (here && running > target);
  }
  target -= before_last;
  return last;
}

const int MOST_SPLITS = 64;

}  // namespace

struct RowParams {
  const float* logits;  // [rows, vocabulary]
  const float* uniform; // [rows], for sampling
  float* stats;         // [rows, 2]: maximum and sum
  int* out;             // [rows]: argmax, or the sample; [rows, 8] for the largest
  float* partial;       // [rows, splits, 16]
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
  DEVICE float operator()(int i) const { return exp2_fast(row[i] * scale - most); }
};

}  // namespace

// One token of the softmax, by inversion: the first whose running sum exceeds u times the whole.
KERNEL(sample, RowParams, 256, 4) {
  __shared__ Stats scratch[WARPS];
  __shared__ float most[MOST_SPLITS], sums[MOST_SPLITS], shared[WARPS];
  __shared__ int flag, found[2];
  Stats all;
  if (!row_stats_of(p, scratch, &flag, all, most, sums)) return;
  if ((int)threadIdx.x < p.splits) sums[threadIdx.x] *= sums[threadIdx.x] > 0.f ? exp2_fast(most[threadIdx.x] - all.most) : 0.f;
  __syncthreads();
  float target = p.uniform[blockIdx.x] * all.sum;
  const int split = pick_chunk(sums, p.splits, target);
  SoftmaxWeight weight;
  weight.row = p.logits + (long long)blockIdx.x * p.vocabulary;
  weight.scale = p.scale;
  weight.most = all.most;
  const int token = pick(chunk_of(p.vocabulary, p.splits, split), target, weight, shared, found);
  if (threadIdx.x == 0) p.out[blockIdx.x] = token;
}

namespace {

// A number whose order is that of (value, earlier index first).
DEVICE u64 rank(float x, int index) {
  u32 bits = __float_as_uint(x);
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return ((u64)bits << 32) | (u32)~index;
}

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
  __shared__ int flag;
  const int row = blockIdx.x, split = blockIdx.y;
  const float* logits = p.logits + (long long)row * p.vocabulary;
  const Chunk c = chunk_of(p.vocabulary, p.splits, split);
  u64 list[K], best[K];
  UNROLL for (int i = 0; i < K; i++) list[i] = 0;
  for (int at = c.begin + threadIdx.x * 4; at < c.end; at += THREADS * 4) {
    const Vec16 v = load_stream(logits + at);
    UNROLL for (int i = 0; i < 4; i++) insert(list, rank(__uint_as_float(v.x[i]), at + i));
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

struct VerifyParams {
  const float* target;        // logits [sequences * (draft + 1), vocabulary]
  const float* target_stats;  // [rows, 2]
  const float* drafted;       // logits [sequences * draft, draft vocabulary]
  const float* drafted_stats; // [rows, 2]
  const int* to_draft;        // [vocabulary]: draft id or -1; null where the vocabularies are one
  const int* tokens;          // [sequences, draft], target ids
  const float* uniform;       // [sequences, draft + 1]: one to accept each, one for the token in place
  int* out;                   // [sequences, draft + 1]: accepted, then one more; -1 behind it
  int* accepted;              // [sequences]
  float* partial;             // [sequences, splits]
  int* arrived;               // [sequences], zero
  int draft;
  int vocabulary;
  int draft_vocabulary;
  int splits;
  float target_scale;
  float drafted_scale;
};

namespace {

struct Law {
  const float* row;
  float scale, most, over;
  DEVICE float operator()(int i) const { return exp2_fast(row[i] * scale - most) * over; }
};

DEVICE Law law_of(const float* logits, const float* stats, int vocabulary, int row, float scale) {
  Law law;
  law.row = logits + (long long)row * vocabulary;
  law.scale = scale;
  law.most = stats[2 * row];
  law.over = 1.f / stats[2 * row + 1];
  return law;
}

// What a token in place of a rejected draft is drawn from: max(0, p - q); p where nothing was rejected.
struct Residual {
  Law p, q;
  const int* to_draft;
  bool whole;
  DEVICE float drafted(int i) const {
    const int at = to_draft ? to_draft[i] : i;
    return at < 0 ? 0.f : q(at);
  }
  DEVICE float operator()(int i) const { return whole ? p(i) : fmaxf(p(i) - drafted(i), 0.f); }
};

}  // namespace

// Rejection sampling (arXiv 2211.17192): draft x is accepted where u q(x) < p(x); at the first that is not, the token
// comes from what p has left of q, and behind the last from p. Every block walks the chain, then weighs its chunk.
KERNEL(verify_chain, VerifyParams, 256, 4) {
  __shared__ float sums[MOST_SPLITS], shared[WARPS];
  __shared__ int flag, found[2], first;
  const int sequence = blockIdx.x, split = blockIdx.y, n = p.draft;
  if (threadIdx.x == 0) first = n;
  __syncthreads();
  if ((int)threadIdx.x < n) {
    const int j = threadIdx.x, token = p.tokens[sequence * n + j];
    const Law law = law_of(p.target, p.target_stats, p.vocabulary, sequence * (n + 1) + j, p.target_scale);
    const Law draft = law_of(p.drafted, p.drafted_stats, p.draft_vocabulary, sequence * n + j, p.drafted_scale);
    const int own = p.to_draft ? p.to_draft[token] : token;
    const float q = own < 0 ? 0.f : draft(own);
    if (!(p.uniform[sequence * (n + 1) + j] * q < law(token))) atomicMin(&first, j);
  }
  __syncthreads();
  const int at = first;
  Residual weight;
  weight.whole = at == n;
  int row = sequence * (n + 1) + at;
#ifdef BUG_STALE_BONUS_ROW
  if (at == n) row -= 1;
#endif
  weight.p = law_of(p.target, p.target_stats, p.vocabulary, row, p.target_scale);
  weight.q = law_of(p.drafted, p.drafted_stats, p.draft_vocabulary, sequence * n + (at < n ? at : n - 1), p.drafted_scale);
  weight.to_draft = p.to_draft;
#ifdef BUG_NO_RESIDUAL
  weight.whole = true;
#endif
  const Chunk c = chunk_of(p.vocabulary, p.splits, split);
  float own = 0.f;
  for (int i = c.begin + threadIdx.x; i < c.end; i += THREADS) own += weight(i);
  own = block_sum<WARPS>(own, shared);
  if (threadIdx.x == 0) p.partial[sequence * p.splits + split] = own;
  if (!last_to_arrive(p.arrived + sequence, p.splits, &flag)) return;
  if ((int)threadIdx.x < p.splits) sums[threadIdx.x] = load_fresh(p.partial + sequence * p.splits + threadIdx.x);
  __syncthreads();
  float total = 0.f;
  UNROLL_BY(8) for (int s = 0; s < p.splits; s++) total += sums[s];
  int token;
  if (total > 0.f) {
#ifdef BUG_REUSE_U
    float target = p.uniform[sequence * (n + 1) + at] * total;
#else
    float target = p.uniform[sequence * (n + 1) + n] * total;
#endif
    const int chosen = pick_chunk(sums, p.splits, target);
    token = pick(chunk_of(p.vocabulary, p.splits, chosen), target, weight, shared, found);
  } else {
    // p and q are equal but for rounding: what was rejected should not have been.
    token = p.tokens[sequence * n + at];
  }
  for (int i = threadIdx.x; i <= n; i += THREADS) {
    const int value = i < at ? p.tokens[sequence * n + i] : i == at ? token : -1;
    p.out[sequence * (n + 1) + i] = value;
  }
  if (threadIdx.x == 0) p.accepted[sequence] = at;
}
