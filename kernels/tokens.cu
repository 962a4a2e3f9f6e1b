// Kernels over tokens that move memory: one pass, loads and stores of 16 bytes.
#include "common.cuh"

namespace {

// Eight bf16 numbers of 16 bytes.
struct Eight {
  float x[8];
};

DEVICE Eight unpack(const Vec16& v) {
  Eight e;
  UNROLL for (int i = 0; i < 4; i++) {
    e.x[2 * i] = low_float(v.x[i]);
    e.x[2 * i + 1] = high_float(v.x[i]);
  }
  return e;
}

DEVICE Vec16 pack8(const Eight& e) {
  Vec16 v;
  UNROLL for (int i = 0; i < 4; i++) v.x[i] = pack(e.x[2 * i], e.x[2 * i + 1]);
  return v;
}

const int THREADS = 256;
const int MOST = 4;  // of 16-byte vectors a thread holds: rows of up to 8,192 features

}  // namespace

struct AddNormParams {
  const bf16* x;       // [tokens, width]
  bf16* residual;      // [tokens, width], x is added to it
  const bf16* weight;  // [width]
  bf16* out;           // [tokens, width]
  int width;
  float epsilon;
};

// One block a token. The sum is rounded to bf16 before it is normalised, as the engines do that store it.
KERNEL(add_rmsnorm, AddNormParams, 256, 4) {
  __shared__ float scratch[THREADS / 32];
  const int vectors = p.width / 8;
  const long long row = (long long)blockIdx.x * p.width;
  Vec16 held[MOST];
  float squares = 0.f;
  UNROLL for (int i = 0; i < MOST; i++) {
    const int at = threadIdx.x + i * THREADS;
    if (at < vectors) {
      const Eight x = unpack(load16(p.x + row + at * 8));
      Eight r = unpack(load16(p.residual + row + at * 8));
      UNROLL for (int j = 0; j < 8; j++) r.x[j] += x.x[j];
      held[i] = pack8(r);
      store16(p.residual + row + at * 8, held[i]);
      r = unpack(held[i]);
      UNROLL for (int j = 0; j < 8; j++) squares += r.x[j] * r.x[j];
    }
  }
  const float scale = rsqrtf(block_sum<THREADS / 32>(squares, scratch) / p.width + p.epsilon);
  UNROLL for (int i = 0; i < MOST; i++) {
    const int at = threadIdx.x + i * THREADS;
    if (at < vectors) {
      Eight r = unpack(held[i]);
      const Eight w = unpack(load16(p.weight + at * 8));
      UNROLL for (int j = 0; j < 8; j++) r.x[j] = r.x[j] * scale * w.x[j];
      store16(p.out + row + at * 8, pack8(r));
    }
  }
}

struct NormConcatParams {
  const bf16* embedding;  // [tokens, width]
  const bf16* hidden;     // [tokens, width]
  const bf16* embedding_weight;
  const bf16* hidden_weight;
  bf16* out;              // [tokens, 2 * width]: the embedding's half first
  int width;
  float epsilon;
};

// What EAGLE-3's layer reads: norm(embedding) beside norm(hidden). One block a token and half.
KERNEL(norm_concat, NormConcatParams, 256, 4) {
  __shared__ float scratch[THREADS / 32];
  const int vectors = p.width / 8, half = blockIdx.y;
  const bf16* from = (half ? p.hidden : p.embedding) + (long long)blockIdx.x * p.width;
  const bf16* weight = half ? p.hidden_weight : p.embedding_weight;
  bf16* to = p.out + ((long long)blockIdx.x * 2 + half) * p.width;
  Vec16 held[MOST];
  float squares = 0.f;
  UNROLL for (int i = 0; i < MOST; i++) {
    const int at = threadIdx.x + i * THREADS;
    if (at < vectors) {
      held[i] = load16(from + at * 8);
      const Eight x = unpack(held[i]);
      UNROLL for (int j = 0; j < 8; j++) squares += x.x[j] * x.x[j];
    }
  }
  const float scale = rsqrtf(block_sum<THREADS / 32>(squares, scratch) / p.width + p.epsilon);
  UNROLL for (int i = 0; i < MOST; i++) {
    const int at = threadIdx.x + i * THREADS;
    if (at < vectors) {
      Eight x = unpack(held[i]);
      const Eight w = unpack(load16(weight + at * 8));
      UNROLL for (int j = 0; j < 8; j++) x.x[j] = x.x[j] * scale * w.x[j];
      store16(to + at * 8, pack8(x));
    }
  }
}

struct RopeParams {
  const bf16* qkv;          // [tokens, heads + 2 kv_heads, 128]
  const bf16* q_weight;     // [128]
  const bf16* k_weight;     // [128]
  const float* cosines;     // [positions, 64]
  const float* sines;
  const int* position;      // [tokens]
  const int* slot;          // [tokens]: page * page size + place in the page
  bf16* q;                  // [tokens, heads, 128]
  bf16* k;                  // [slots, kv_heads, 128]
  bf16* v;
  int tokens;
  int heads;
  int kv_heads;
  float epsilon;
};

// Eight lanes a head: lane l has features 8l.. and 64 + 8l.., which rotary embedding turns into each other.
KERNEL(rope_append, RopeParams, 256, 4) {
  const int all = p.heads + 2 * p.kv_heads;
  const long long item = ((long long)blockIdx.x * THREADS + threadIdx.x) / 8;
  const int lane = threadIdx.x % 8;
  const bool there = item < (long long)p.tokens * all;
  const int token = there ? (int)(item / all) : 0, head = there ? (int)(item % all) : 0;
  const bf16* from = p.qkv + ((long long)token * all + head) * 128;
  Vec16 low = load16(from + lane * 8), high = load16(from + 64 + lane * 8);
  const bool is_value = head >= p.heads + p.kv_heads;
  Eight a = unpack(low), b = unpack(high);
  float squares = 0.f;
  UNROLL for (int j = 0; j < 8; j++) squares += a.x[j] * a.x[j] + b.x[j] * b.x[j];
  UNROLL for (int m = 1; m < 8; m <<= 1) squares += shuffle_xor(squares, m);
  if (!there) return;
  const int slot = p.slot[token];
  bf16* to;
  if (head < p.heads) {
    to = p.q + ((long long)token * p.heads + head) * 128;
  } else if (!is_value) {
    to = p.k + ((long long)slot * p.kv_heads + head - p.heads) * 128;
  } else {
    to = p.v + ((long long)slot * p.kv_heads + head - p.heads - p.kv_heads) * 128;
  }
  if (!is_value) {
    const float scale = rsqrtf(squares / 128.f + p.epsilon);
    const bf16* weight = head < p.heads ? p.q_weight : p.k_weight;
    const Eight wa = unpack(load16(weight + lane * 8)), wb = unpack(load16(weight + 64 + lane * 8));
    const float* cosine = p.cosines + (long long)p.position[token] * 64 + lane * 8;
    const float* sine = p.sines + (long long)p.position[token] * 64 + lane * 8;
    UNROLL for (int j = 0; j < 8; j++) {
      const float x = a.x[j] * scale * wa.x[j], y = b.x[j] * scale * wb.x[j];
      a.x[j] = x * cosine[j] - y * sine[j];
      b.x[j] = y * cosine[j] + x * sine[j];
    }
    low = pack8(a);
    high = pack8(b);
  }
  store16(to + lane * 8, low);
  store16(to + 64 + lane * 8, high);
}

struct SiluParams {
  const bf16* gate_up;  // [tokens, 2 * width]: gates first
  bf16* out;            // [tokens, width]
  int width;
  int tokens;
};

// A flat grid over the output's vectors.
KERNEL(silu_mul, SiluParams, 256, 4) {
  const long long vectors = p.width / 8, n = vectors * p.tokens;
  const long long at = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (at >= n) return;
  const long long token = at / vectors, column = at % vectors * 8;
  const bf16* gate = p.gate_up + token * 2 * p.width + column;
  Eight g = unpack(load16(gate));
  const Eight u = unpack(load16(gate + p.width));
  UNROLL for (int j = 0; j < 8; j++) g.x[j] = g.x[j] / (1.f + exp2_fast(-g.x[j] * LOG2E)) * u.x[j];
  store16(p.out + token * p.width + column, pack8(g));
}

struct GatherParams {
  const bf16* table;  // [vocabulary, width]
  const int* ids;     // [tokens]
  bf16* out;          // [tokens, width]
  int width;
};

KERNEL(embed_gather, GatherParams, 256, 4) {
  const bf16* from = p.table + (long long)p.ids[blockIdx.x] * p.width;
  bf16* to = p.out + (long long)blockIdx.x * p.width;
  for (int at = threadIdx.x; at < p.width / 8; at += THREADS) store16(to + at * 8, load16(from + at * 8));
}

struct FuseParams {
  const bf16* low;   // [tokens, width]: hidden states of an early, a middle and a late layer
  const bf16* middle;
  const bf16* high;
  bf16* out;         // [tokens, 3 * width]
  int width;
};

KERNEL(fuse_hidden, FuseParams, 256, 4) {
  const bf16* from = blockIdx.y == 0 ? p.low : blockIdx.y == 1 ? p.middle : p.high;
  from += (long long)blockIdx.x * p.width;
  bf16* to = p.out + ((long long)blockIdx.x * 3 + blockIdx.y) * p.width;
  for (int at = threadIdx.x; at < p.width / 8; at += THREADS) store16(to + at * 8, load16(from + at * 8));
}

struct CompactParams {
  const int* from;    // [moves]: slots of accepted nodes
  const int* to;      // [moves]: slots where they belong
  const int* begin;   // [sequences + 1]: moves of each sequence
  bf16* k;            // [slots, width]
  bf16* v;
  int width;          // kv_heads * 128
};

// Accepted nodes of a tree to the front of their sequence's new slots. One block a sequence, its moves in order: a
// node never moves behind one that is still to be read.
KERNEL(kv_compact, CompactParams, 256, 4) {
  for (int move = p.begin[blockIdx.x]; move < p.begin[blockIdx.x + 1]; move++) {
    const long long from = (long long)p.from[move] * p.width, to = (long long)p.to[move] * p.width;
    for (int at = threadIdx.x; at < p.width / 8; at += THREADS) {
      const Vec16 k = load16(p.k + from + at * 8), v = load16(p.v + from + at * 8);
      store16(p.k + to + at * 8, k);
      store16(p.v + to + at * 8, v);
    }
  }
}

struct MapParams {
  const int* ids;      // [tokens], of the draft's vocabulary
  const int* offset;   // [draft vocabulary]: target id = draft id + offset
  int* out;            // [tokens]
  int tokens;
};

KERNEL(draft_to_target, MapParams, 256, 4) {
  const int at = blockIdx.x * THREADS + threadIdx.x;
  if (at < p.tokens) p.out[at] = p.ids[at] + p.offset[p.ids[at]];
}
