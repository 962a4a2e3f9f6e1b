// Verification of a chain of draft tokens by rejection sampling, on rows of logits (logits.cuh) whose statistics are there.
#include "logits.cuh"

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
  DEVICE float of(float x) const { return exp2_fast(x * scale - most) * over; }
};

DEVICE Law law_of(const float* logits, const float* stats, int vocabulary, int row, float scale) {
  Law law;
  law.row = logits + (long long)row * vocabulary;
  law.scale = scale;
  law.most = stats[2 * row];
  law.over = 1.f / stats[2 * row + 1];
  return law;
}

// What p has lost: nothing, q token by token, or q by way of the map.
enum Loss { NOTHING, SAME, MAPPED };

// What a token in place of a rejected draft is drawn from: max(0, p - q), or p. All loads first.
template <int LOSS>
struct Residual {
  static const int AT_ONCE = LOSS == NOTHING ? AHEAD : 2;
  Law p, q;
  const int* to_draft;
  template <int N>
  DEVICE void look(const int (&at)[N], Chunk c, Vec16 (&map)[N]) const {
    UNROLL for (int j = 0; j < N; j++) map[j] = LOSS == MAPPED ? load16(to_draft + within(at[j], c)) : Vec16();
  }
  template <int N>
  DEVICE void weigh(const int (&at)[N], Chunk c, const Vec16 (&map)[N], float (&w)[N][4]) const {
    Vec16 x[N], y[N];
    UNROLL for (int j = 0; j < N; j++) x[j] = load_stream(p.row + within(at[j], c));
    UNROLL for (int j = 0; j < N; j++) {
      if (LOSS == SAME) y[j] = load_stream(q.row + within(at[j], c));
      if (LOSS == MAPPED) UNROLL for (int i = 0; i < 4; i++) {
        const int id = (int)map[j].x[i];
        y[j].x[i] = __float_as_uint(q.row[(u32)(id < 0 ? 0 : id)]);
      }
    }
    UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++) {
      const float has = p.of(at[j] < c.end ? __uint_as_float(x[j].x[i]) : -INFINITY_F);
      w[j][i] = has;
      if (LOSS == NOTHING) continue;
      const bool drafted = at[j] < c.end && (LOSS == SAME || (int)map[j].x[i] >= 0);
      const float lost = q.of(drafted ? __uint_as_float(y[j].x[i]) : -INFINITY_F);
      // Of no product, which the difference might be fused with: it would leave something of p where q is the same.
      w[j][i] = fmaxf(fmaxf(has, 0.f) - fmaxf(lost, 0.f), 0.f);
    }
  }
};

// A thread's share of its warp's part.
template <typename Weight>
DEVICE float weight_of(Chunk c, const Weight& weight) {
  const int N = Weight::AT_ONCE;
  const int lane = threadIdx.x % 32;
  int at[N], next[N];
  Vec16 map[N], next_map[N];
  UNROLL for (int j = 0; j < N; j++) at[j] = c.begin + (j * 32 + lane) * 4;
  weight.look(at, c, map);
  float sum = 0.f;
  for (int tile = c.begin; tile < c.end; tile += N * 128) {
    // The map is a tile ahead: what it leads to is then loaded together with p.
    float w[N][4];
    UNROLL for (int j = 0; j < N; j++) next[j] = at[j] + N * 128;
    weight.look(next, c, next_map);
    weight.weigh(at, c, map, w);
    UNROLL for (int j = 0; j < N; j++) {
      UNROLL for (int i = 0; i < 4; i++) sum += w[j][i];
      at[j] = next[j];
      map[j] = next_map[j];
    }
  }
  return sum;
}

// What blocks of a sequence share.
struct VerifyShared {
  float sums[MOST_SPLITS], parts[WARPS], shared[2 * PICKED * WARPS];
  int flag, found[2], first;
};

// The token behind the `at` accepted ones, in every thread of the sequence's last block; -1 in the others.
template <int LOSS>
DEVICE int last_token(const VerifyParams& p, const Law& target_law, const Law& drafted_law, int at, VerifyShared& s) {
  const int sequence = blockIdx.x, split = blockIdx.y, n = p.draft;
  Residual<LOSS> weight;
  weight.p = target_law;
  weight.q = drafted_law;
  weight.to_draft = p.to_draft;
  const Chunk c = chunk_of(p.vocabulary, p.splits, split);
  const float own = block_sum<WARPS>(weight_of(part_of(c, threadIdx.x / 32), weight), s.parts);
  if (threadIdx.x == 0) p.partial[sequence * p.splits + split] = own;
  if (!last_to_arrive(p.arrived + sequence, p.splits, &s.flag)) return -1;
  if ((int)threadIdx.x < p.splits) s.sums[threadIdx.x] = load_fresh(p.partial + sequence * p.splits + threadIdx.x);
  __syncthreads();
  float total = 0.f;
  UNROLL_BY(8) for (int i = 0; i < p.splits; i++) total += s.sums[i];
  // p and q are equal but for rounding: what was rejected should not have been.
  if (!(total > 0.f)) return p.tokens[sequence * n + at];
#ifdef BUG_REUSE_U
  float target = p.uniform[sequence * (n + 1) + at] * total;
#else
  float target = p.uniform[sequence * (n + 1) + n] * total;
#endif
  const int chosen = pick_chunk(s.sums, p.splits, target);
  Chunk within_it = chunk_of(p.vocabulary, p.splits, chosen);
  // Of its own chunk a block knows the parts, and chunks are long only where rows have few.
  if (chosen == split) within_it = part_of(within_it, pick_chunk(s.parts, WARPS, target));
  return pick(within_it, target, weight, s.shared, s.found);
}

}  // namespace

// Rejection sampling (arXiv 2211.17192): draft x is accepted where u q(x) < p(x); at the first that is not, the token
// comes from what p has left of q, and behind the last from p. Every block walks the chain, then weighs its chunk.
KERNEL(verify_chain, VerifyParams, 256, 4) {
  __shared__ VerifyShared shared;
  const int sequence = blockIdx.x, n = p.draft;
  if (threadIdx.x == 0) shared.first = n;
  __syncthreads();
  if ((int)threadIdx.x < n) {
    const int j = threadIdx.x, token = p.tokens[sequence * n + j];
    const Law law = law_of(p.target, p.target_stats, p.vocabulary, sequence * (n + 1) + j, p.target_scale);
    const Law draft = law_of(p.drafted, p.drafted_stats, p.draft_vocabulary, sequence * n + j, p.drafted_scale);
    const int own = p.to_draft ? p.to_draft[token] : token;
    const float u = p.uniform[sequence * (n + 1) + j], x = law.row[token], y = draft.row[own < 0 ? 0 : own];
    const float has = law.of(x), q = own < 0 ? 0.f : draft.of(y);
    if (!(u * q < has)) atomicMin(&shared.first, j);
  }
  __syncthreads();
  const int at = shared.first;
  bool whole = at == n;
  int row = sequence * (n + 1) + at;
#ifdef BUG_STALE_BONUS_ROW
  if (at == n) row -= 1;
#endif
  const Law law = law_of(p.target, p.target_stats, p.vocabulary, row, p.target_scale);
  const Law draft = law_of(p.drafted, p.drafted_stats, p.draft_vocabulary, sequence * n + (at < n ? at : n - 1), p.drafted_scale);
#ifdef BUG_NO_RESIDUAL
  whole = true;
#endif
  const int token = whole        ? last_token<NOTHING>(p, law, draft, at, shared)
                    : p.to_draft ? last_token<MAPPED>(p, law, draft, at, shared)
                                 : last_token<SAME>(p, law, draft, at, shared);
  if (token < 0) return;
  for (int i = threadIdx.x; i <= n; i += THREADS) {
    const int value = i < at ? p.tokens[sequence * n + i] : i == at ? token : -1;
    p.out[sequence * (n + 1) + i] = value;
  }
  if (threadIdx.x == 0) p.accepted[sequence] = at;
}
