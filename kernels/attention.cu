// Attention of a few new tokens a sequence over a paged KV cache: draft, decode, verify, and prefill.
//
// One block takes one sequence, one KV head, one tile of rows and one share of the keys (split). Rows pack the
// query heads of the KV head and the new tokens: row = token * group + head, so that keys are read once for all of
// them. Keys and values come through shared memory by asynchronous copies, a ring of STAGES tiles of 64 tokens (of fewer,
// where a share has fewer: then that much shared memory is enough, and more blocks lie on a multiprocessor); a
// row of 256 bytes is swizzled by 16-byte chunks so that matrix loads hit every bank once. Warps lie ROW_WARPS x
// KEY_WARPS over 16 rows each and the tile's keys; each keeps its own running maximum and sum (flash attention), which
// are combined at the end. With several splits a block leaves its part in memory, and the last one to arrive adds
// them up: no second launch.
//
// Masks: a new token sees all that was there before the new ones, and of these either those up to itself (chain) or
// those in its 64-bit word (tree: bit i is new token i). Heads of 128 features.
#include "common.cuh"

struct AttentionParams {
  const bf16* q;          // [batch, queries, kv_heads * group, 128]
  const bf16* k;          // [pages, page, kv_heads, 128]
  const bf16* v;
  const int* pages;       // [batch, pages_per_sequence]
  const int* context;     // [batch]: tokens in the cache, new ones included
  const u64* tree;        // [queries], or null for a chain
  bf16* out;              // as q
  float* partial;         // [batch, kv_heads, tiles, splits, rows, 128 + 4]: sums, maximum, mass, two unused
  int* arrived;           // [batch, kv_heads, tiles], zero
  int queries;
  int kv_heads;
  int group;
  int page_shift;         // log2 of the tokens of a page
  int pages_per_sequence;
  int splits;
  float scale;            // of the scores, times log2(e)
};

namespace {

const int DIM = 128;
const int TILE = 64;
const int CHUNKS = DIM / 8;          // of 16 bytes in a row
const int TILE_BYTES = TILE * DIM * 2;
const int PART = DIM + 4;            // floats of a row's part, a multiple of 16 bytes
const int AT_ONCE = 8;               // splits whose parts are on their way together when they are added up

DEVICE bf16* at(unsigned char* tile, int row, int chunk) {
  return (bf16*)(tile + row * (DIM * 2) + ((chunk ^ (row & 7)) << 4));
}

template <int ROW_WARPS, int KEY_WARPS, int STAGES>
struct Attention {
  static const int THREADS = 32 * ROW_WARPS * KEY_WARPS;
  static const int ROWS = 16 * ROW_WARPS;
  static const int KEYS = TILE / KEY_WARPS;  // of a tile, for one warp
  // Pieces of 16 bytes of AT_ONCE parts on their way to a thread, as its registers allow.
  static const int PIECES = ROWS < 64 ? 2 : 4;

  static DEVICE void run(const AttentionParams& p) {
    SHARED_BYTES(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row_warp = warp % ROW_WARPS, key_warp = warp / ROW_WARPS;
    const int split = blockIdx.x % p.splits, tile_of_rows = blockIdx.x / p.splits;
    const int head = blockIdx.y, sequence = blockIdx.z;
    const int tiles_of_rows = gridDim.x / p.splits;
    const int rows = p.queries * p.group, first_row = tile_of_rows * ROWS;
    const int context = p.context[sequence], before = context - p.queries;
    const int* pages = p.pages + (long long)sequence * p.pages_per_sequence;

    // The last key that any row of this tile sees.
    int last_row = first_row + ROWS - 1;
    if (last_row > rows - 1) last_row = rows - 1;
    int keys = p.tree ? context : before + last_row / p.group + 1;
    const int tiles = (keys + TILE - 1) / TILE;
    const int share = (tiles + p.splits - 1) / p.splits;
    const int begin = split * share;
    int end = begin + share;
    if (end > tiles) end = tiles;

    // Queries of this warp's 16 rows, as the left operand of the matrix instruction wants them.
    u32 q[DIM / 16][4];
    const int low_row = first_row + row_warp * 16 + lane / 4, high_row = low_row + 8;
    const bf16* low_q = p.q + row_offset(p, sequence, head, low_row);
    const bf16* high_q = p.q + row_offset(p, sequence, head, high_row);
    UNROLL for (int s = 0; s < DIM / 16; s++) {
      const int column = s * 16 + (lane % 4) * 2;
      q[s][0] = low_row < rows ? *(const u32*)(low_q + column) : 0;
      q[s][1] = high_row < rows ? *(const u32*)(high_q + column) : 0;
      q[s][2] = low_row < rows ? *(const u32*)(low_q + column + 8) : 0;
      q[s][3] = high_row < rows ? *(const u32*)(high_q + column + 8) : 0;
    }

    float o[DIM / 8][4];
    UNROLL for (int n = 0; n < DIM / 8; n++) UNROLL for (int i = 0; i < 4; i++) o[n][i] = 0.f;
    float low_max = -INFINITY_F, high_max = -INFINITY_F, low_sum = 0.f, high_sum = 0.f;

    UNROLL for (int s = 0; s < STAGES - 1; s++) {
      if (begin + s < end) fetch(p, memory + s * 2 * TILE_BYTES, pages, head, begin + s, context);
      copy_commit();
    }
    for (int tile = begin; tile < end; tile++) {
      copy_wait<STAGES - 2>();
      __syncthreads();
      const int ahead = tile + STAGES - 1;
      if (ahead < end)
        fetch(p, memory + ((ahead - begin) % STAGES) * 2 * TILE_BYTES, pages, head, ahead, context);
      copy_commit();
      unsigned char* k_tile = memory + ((tile - begin) % STAGES) * 2 * TILE_BYTES;
      unsigned char* v_tile = k_tile + TILE_BYTES;

      float s[KEYS / 8][4];
      UNROLL for (int n = 0; n < KEYS / 8; n++) UNROLL for (int i = 0; i < 4; i++) s[n][i] = 0.f;
      UNROLL for (int n = 0; n < KEYS / 8; n++) {
        UNROLL for (int d = 0; d < DIM / 32; d++) {
          u32 b[4];
          load_matrices(b, at(k_tile, key_warp * KEYS + n * 8 + lane % 8, d * 4 + lane / 8));
          multiply(s[n], q[2 * d], b[0], b[1]);
          multiply(s[n], q[2 * d + 1], b[2], b[3]);
        }
      }

      const int key0 = tile * TILE + key_warp * KEYS + (lane % 4) * 2;
      UNROLL for (int n = 0; n < KEYS / 8; n++) UNROLL for (int i = 0; i < 4; i++) s[n][i] *= p.scale;
      if ((tile + 1) * TILE > before) {
        // Of the new tokens a row sees those up to its limit whose bit is set.
        const int low_token = not_before(low_row) / p.group, high_token = not_before(high_row) / p.group;
        const int low_limit = p.tree ? p.queries - 1 : low_token, high_limit = p.tree ? p.queries - 1 : high_token;
        u64 low_word = ~0ull, high_word = ~0ull;
        if (p.tree) {
          low_word = low_row < rows ? p.tree[low_token] : 0;
          high_word = high_row < rows ? p.tree[high_token] : 0;
        }
        UNROLL for (int n = 0; n < KEYS / 8; n++) UNROLL for (int i = 0; i < 4; i++) {
          const int of_new = key0 + n * 8 + i % 2 - before;
          if (!sees(of_new, i < 2 ? low_limit : high_limit, i < 2 ? low_word : high_word)) s[n][i] = -INFINITY_F;
        }
      }

      float low_new = low_max, high_new = high_max;
      UNROLL for (int n = 0; n < KEYS / 8; n++) {
        low_new = fmaxf(low_new, fmaxf(s[n][0], s[n][1]));
        high_new = fmaxf(high_new, fmaxf(s[n][2], s[n][3]));
      }
      UNROLL for (int m = 1; m <= 2; m <<= 1) {
        low_new = fmaxf(low_new, shuffle_xor(low_new, m));
        high_new = fmaxf(high_new, shuffle_xor(high_new, m));
      }
      // Where a row has seen nothing yet, any finite number will do.
      const float low_base = low_new == -INFINITY_F ? 0.f : low_new;
      const float high_base = high_new == -INFINITY_F ? 0.f : high_new;
      const float low_shrink = exp2_fast(low_max - low_base), high_shrink = exp2_fast(high_max - high_base);
      low_max = low_new;
      high_max = high_new;
      low_sum *= low_shrink;
      high_sum *= high_shrink;
      UNROLL for (int n = 0; n < DIM / 8; n++) {
        o[n][0] *= low_shrink;
        o[n][1] *= low_shrink;
        o[n][2] *= high_shrink;
        o[n][3] *= high_shrink;
      }
      UNROLL for (int n = 0; n < KEYS / 8; n++) {
        s[n][0] = exp2_fast(s[n][0] - low_base);
        s[n][1] = exp2_fast(s[n][1] - low_base);
        s[n][2] = exp2_fast(s[n][2] - high_base);
        s[n][3] = exp2_fast(s[n][3] - high_base);
        low_sum += s[n][0] + s[n][1];
        high_sum += s[n][2] + s[n][3];
      }
      // The scores' layout is that of a left operand: 16 keys are two of its tiles of 8.
      UNROLL for (int step = 0; step < KEYS / 16; step++) {
        u32 a[4] = {pack(s[2 * step][0], s[2 * step][1]), pack(s[2 * step][2], s[2 * step][3]),
                    pack(s[2 * step + 1][0], s[2 * step + 1][1]), pack(s[2 * step + 1][2], s[2 * step + 1][3])};
        UNROLL for (int n = 0; n < DIM / 16; n++) {
          u32 b[4];
          load_matrices_transposed(
              b, at(v_tile, key_warp * KEYS + step * 16 + lane % 16, n * 2 + lane / 16));
          multiply(o[2 * n], a, b[0], b[1]);
          multiply(o[2 * n + 1], a, b[2], b[3]);
        }
      }
    }
    copy_wait<0>();
    __syncthreads();

    UNROLL for (int m = 1; m <= 2; m <<= 1) {
      low_sum += shuffle_xor(low_sum, m);
      high_sum += shuffle_xor(high_sum, m);
    }
    // Warps with the same rows and other keys meet in shared memory: [ROWS][DIM] sums, then maxima and sums by warp.
    float* sums = (float*)memory;
    float* stats = sums + ROWS * DIM;  // [KEY_WARPS][ROWS][2]
    const int low = row_warp * 16 + lane / 4, high = low + 8;
    if (lane % 4 == 0) {
      stats[(key_warp * ROWS + low) * 2] = low_max;
      stats[(key_warp * ROWS + low) * 2 + 1] = low_sum;
      stats[(key_warp * ROWS + high) * 2] = high_max;
      stats[(key_warp * ROWS + high) * 2 + 1] = high_sum;
    }
    __syncthreads();
    float low_all = -INFINITY_F, high_all = -INFINITY_F;
    UNROLL for (int w = 0; w < KEY_WARPS; w++) {
      low_all = fmaxf(low_all, stats[(w * ROWS + low) * 2]);
      high_all = fmaxf(high_all, stats[(w * ROWS + high) * 2]);
    }
    const float low_share = low_max == -INFINITY_F ? 0.f : exp2_fast(low_max - low_all);
    const float high_share = high_max == -INFINITY_F ? 0.f : exp2_fast(high_max - high_all);
    UNROLL for (int w = 0; w < KEY_WARPS; w++) {
      if (w == key_warp) {
        UNROLL for (int n = 0; n < DIM / 8; n++) UNROLL for (int i = 0; i < 4; i++) {
          float* cell = sums + (i < 2 ? low : high) * DIM + n * 8 + (lane % 4) * 2 + i % 2;
          const float part = o[n][i] * (i < 2 ? low_share : high_share);
          *cell = w == 0 ? part : *cell + part;
        }
      }
      __syncthreads();
    }

    // Each thread takes whole rows' pieces of 2 features from here on.
    const long long place = ((long long)sequence * p.kv_heads + head) * tiles_of_rows + tile_of_rows;
    float* part = p.partial + (place * p.splits + split) * ROWS * PART;
    for (int i = threadIdx.x; i < ROWS * DIM / 2; i += THREADS) {
      const int row = i / (DIM / 2), column = i % (DIM / 2) * 2;
      float most = -INFINITY_F, sum = 0.f;
      UNROLL for (int w = 0; w < KEY_WARPS; w++) most = fmaxf(most, stats[(w * ROWS + row) * 2]);
      UNROLL for (int w = 0; w < KEY_WARPS; w++) {
        const float own = stats[(w * ROWS + row) * 2];
        if (own != -INFINITY_F) sum += stats[(w * ROWS + row) * 2 + 1] * exp2_fast(own - most);
      }
      const float x = sums[row * DIM + column], y = sums[row * DIM + column + 1];
      if (p.splits == 1) {
        if (first_row + row < rows) {
          const float over = 1.f / sum;
          *(u32*)(p.out + row_offset(p, sequence, head, first_row + row) + column) = pack(x * over, y * over);
        }
      } else {
        part[row * PART + column] = x;
        part[row * PART + column + 1] = y;
        if (column == 0) {
          part[row * PART + DIM] = most;
          part[row * PART + DIM + 1] = sum;
        }
      }
    }
    if (p.splits == 1) return;

    int* flag = (int*)(stats + KEY_WARPS * ROWS * 2);
    if (!last_to_arrive(p.arrived + place, p.splits, flag)) return;
    const float* all = p.partial + place * p.splits * ROWS * PART;
    merge(p, all, sums, sequence, head, first_row);
  }

  // The splits of a tile of rows added up. Loads come from the L2 here, and each waits for hundreds of cycles: so none
  // waits for another. Maxima and sums of all splits come first, all at once, and become each split's weight; then
  // the parts are added under weights that are known. `weights` holds ROWS x DIM floats, which are two for each row and
  // split: there are at most DIM / 2 splits.
  static DEVICE void merge(const AttentionParams& p, const float* all, float* weights, int sequence, int head,
                           int first_row) {
    const int rows = p.queries * p.group, entries = p.splits * ROWS;
    float* masses = weights + entries;
    UNROLL_BY(8) for (int i = threadIdx.x; i < entries; i += THREADS) {
      const float* own = all + (long long)i * PART + DIM;
      weights[i] = load_fresh(own);
      masses[i] = load_fresh(own + 1);
    }
    __syncthreads();
    // LANES threads of one warp a row.
    const int LANES = THREADS / ROWS;
    const int row_of = threadIdx.x / LANES, lane_of = threadIdx.x % LANES;
    float most = -INFINITY_F, sum = 0.f;
    for (int s = lane_of; s < p.splits; s += LANES) most = fmaxf(most, weights[s * ROWS + row_of]);
    UNROLL for (int m = LANES / 2; m > 0; m >>= 1) most = fmaxf(most, shuffle_xor(most, m));
    // A row beyond the last may have seen nothing at all.
    const float base = most == -INFINITY_F ? 0.f : most;
    for (int s = lane_of; s < p.splits; s += LANES) {
      const float share = exp2_fast(weights[s * ROWS + row_of] - base);
      weights[s * ROWS + row_of] = share;
      sum += share * masses[s * ROWS + row_of];
    }
    UNROLL for (int m = LANES / 2; m > 0; m >>= 1) sum += shuffle_xor(sum, m);
    const float over = sum > 0.f ? 1.f / sum : 0.f;
    for (int s = lane_of; s < p.splits; s += LANES) weights[s * ROWS + row_of] *= over;
    __syncthreads();
    const int left = rows - first_row, last = (left < ROWS ? left : ROWS) - 1;
    const int column = threadIdx.x % (DIM / 4) * 4, stride = THREADS / (DIM / 4);
    for (int first_of = threadIdx.x / (DIM / 4); first_of <= last; first_of += PIECES * stride) {
      float x[PIECES][4];
      UNROLL for (int n = 0; n < PIECES; n++) UNROLL for (int k = 0; k < 4; k++) x[n][k] = 0.f;
      for (int first = 0; first < p.splits; first += AT_ONCE) {
        Vec16 parts[AT_ONCE][PIECES];
        // Behind the last split or row, the last again, for nothing: a loop over a rest would wait for each load.
        UNROLL for (int j = 0; j < AT_ONCE; j++) UNROLL for (int n = 0; n < PIECES; n++) {
          const int s = first + j < p.splits ? first + j : p.splits - 1;
          const int row = first_of + n * stride < last ? first_of + n * stride : last;
          parts[j][n] = load_fresh16(all + (s * ROWS + row) * PART + column);
        }
        UNROLL for (int j = 0; j < AT_ONCE; j++) UNROLL for (int n = 0; n < PIECES; n++) {
          const int row = first_of + n * stride < last ? first_of + n * stride : last;
          const float weight = first + j < p.splits ? weights[(first + j) * ROWS + row] : 0.f;
          UNROLL for (int k = 0; k < 4; k++) x[n][k] += weight * __uint_as_float(parts[j][n].x[k]);
        }
      }
      UNROLL for (int n = 0; n < PIECES; n++) {
        const int row = first_of + n * stride;
        if (row > last) continue;
        u32* out = (u32*)(p.out + row_offset(p, sequence, head, first_row + row) + column);
        out[0] = pack(x[n][0], x[n][1]);
        out[1] = pack(x[n][2], x[n][3]);
      }
    }
  }

  static DEVICE long long row_offset(const AttentionParams& p, int sequence, int head, int row) {
    const int token = row / p.group, own = row % p.group;
    return (((long long)sequence * p.queries + token) * p.kv_heads * p.group + head * p.group + own) * DIM;
  }

  // Whether a row sees a token, counted from the first new one. No branches: every element of a tile asks.
  static DEVICE bool sees(int of_new, int limit, u64 word) {
    return (of_new < 0) | ((of_new <= limit) & (int)((word >> (of_new & 63)) & 1));
  }

  // One tile of keys and values into shared memory; zeros behind the end of the sequence.
  static DEVICE void fetch(const AttentionParams& p, unsigned char* k_tile, const int* pages, int head, int tile,
                           int context) {
    const int chunk = threadIdx.x % CHUNKS;
    UNROLL for (int i = 0; i < TILE * CHUNKS / THREADS; i++) {
      const int row = threadIdx.x / CHUNKS + i * (THREADS / CHUNKS);
      const int token = tile * TILE + row;
      const bool there = token < context;
      const int page = there ? pages[token >> p.page_shift] : 0;
      const long long slot = ((long long)page << p.page_shift) + (token & ((1 << p.page_shift) - 1));
      const long long from = there ? (slot * p.kv_heads + head) * DIM + chunk * 8 : 0;
      copy_async(at(k_tile, row, chunk), p.k + from, there);
      copy_async(at(k_tile + TILE_BYTES, row, chunk), p.v + from, there);
    }
  }
};

}  // namespace

KERNEL(attention_rows16, AttentionParams, 128, 3) { Attention<1, 4, 3>::run(p); }
KERNEL(attention_rows32, AttentionParams, 128, 3) { Attention<2, 2, 3>::run(p); }
KERNEL(attention_rows64, AttentionParams, 128, 2) { Attention<4, 1, 3>::run(p); }
KERNEL(attention_rows128, AttentionParams, 256, 1) { Attention<8, 1, 3>::run(p); }
