// What kernels over rows of logits share: chunks of a row, maximum and sum of one, the element at which a running sum
// passes a target.
//
// A row is cut into chunks, one block each, so that few rows fill the device too; rows are the grid's first axis, which
// alone may be long. The last block of a row to arrive adds the chunks up and does the rest: it looks again at one chunk
// only. Logits are f32, rows a multiple of four long. Softmax at temperature T: weight of logit x is 2^(x s - m),
// s = log2(e) / T, m the largest x s of the row.
#pragma once
#include "common.cuh"

namespace {

const int THREADS = 256;
const int WARPS = THREADS / 32;
// Loads of 16 bytes that a thread has on their way: four blocks have 64 KB of them, and 26 KB keep the memory of
// an H200 busy.
const int AHEAD = 4;

struct Chunk {
  int begin, end;
};

// A share of elements: lines of 128 bytes, but at the row's end.
DEVICE Chunk share_of(Chunk whole, int shares, int share) {
  const int size = (((whole.end - whole.begin + shares - 1) / shares) + 31) / 32 * 32;
  Chunk c;
  c.begin = whole.begin + share * size;
  c.end = c.begin + size;
  if (c.begin > whole.end) c.begin = whole.end;
  if (c.end > whole.end) c.end = whole.end;
  return c;
}

DEVICE Chunk chunk_of(int n, int splits, int split) {
  Chunk row;
  row.begin = 0;
  row.end = n;
  return share_of(row, splits, split);
}

// A warp's part of a chunk: in one piece, so that its sum says whether a sample lies in it.
DEVICE Chunk part_of(Chunk c, int warp) { return share_of(c, WARPS, warp); }

// Where four elements are loaded from: the chunk's last four where there are none, so that no branch stands between
// loads. What was loaded in vain is left out afterwards.
DEVICE int within(int at, Chunk c) { return at < c.end ? at : c.end - 4; }

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

// Of a chunk, in every thread. `scratch` holds WARPS entries, and the parts' afterwards.
DEVICE Stats stats_of(const float* row, Chunk c, float scale, Stats* scratch) {
  Stats own;
  own.most = -INFINITY_F;
  own.sum = 0.f;
  own.where = 0x7fffffff;
  c = part_of(c, threadIdx.x / 32);
  for (int tile = c.begin + threadIdx.x % 32 * 4; tile < c.end; tile += AHEAD * 128) {
    Vec16 v[AHEAD];
    UNROLL for (int j = 0; j < AHEAD; j++) v[j] = load_stream(row + within(tile + j * 128, c));
    UNROLL for (int j = 0; j < AHEAD; j++) {
      const int at = tile + j * 128;
      float x[4];
      UNROLL for (int i = 0; i < 4; i++) x[i] = at < c.end ? __uint_as_float(v[j].x[i]) * scale : -INFINITY_F;
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
// last that weighs anything. In every thread. `shared` holds 2 * PICKED * WARPS floats, `found` two ints.
const int PICKED = 2;

template <typename Weight>
DEVICE int pick(Chunk c, float target, const Weight& weight, float* shared, int* found) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    found[0] = 0x7fffffff;
    found[1] = -1;
  }
  __syncthreads();
  float before = 0.f;
  int last = -1, turn = 0, at[PICKED], next[PICKED];
  Vec16 map[PICKED], next_map[PICKED];
  UNROLL for (int j = 0; j < PICKED; j++) at[j] = c.begin + (j * THREADS + threadIdx.x) * 4;
  weight.look(at, c, map);
  for (int tile = c.begin; tile < c.end; tile += PICKED * THREADS * 4, turn ^= 1) {
    float w[PICKED][4], own[PICKED], scan[PICKED];
    UNROLL for (int j = 0; j < PICKED; j++) {
      at[j] = tile + (j * THREADS + threadIdx.x) * 4;
      next[j] = at[j] + PICKED * THREADS * 4;
    }
    weight.look(next, c, next_map);
    weight.weigh(at, c, map, w);
    UNROLL for (int j = 0; j < PICKED; j++) map[j] = next_map[j];
    // In two sets of numbers by turns: one barrier a tile.
    float* sums = shared + turn * PICKED * WARPS;
    UNROLL for (int j = 0; j < PICKED; j++) {
      own[j] = 0.f;
      UNROLL for (int i = 0; i < 4; i++) {
        if (w[j][i] > 0.f) last = at[j] + i;
        own[j] += w[j][i];
      }
      scan[j] = own[j];
      UNROLL for (int by = 1; by < 32; by <<= 1) {
        const float other = shuffle_up(scan[j], by);
        if (lane >= by) scan[j] += other;
      }
      if (lane == 31) sums[j * WARPS + warp] = scan[j];
    }
    __syncthreads();
    float base[PICKED];
    UNROLL for (int j = 0; j < PICKED; j++) {
      base[j] = before;
      UNROLL for (int i = 0; i < WARPS; i++) {
        if (i < warp) base[j] += sums[j * WARPS + i];
        before += sums[j * WARPS + i];
      }
    }
    // The same in every thread.
    if (!(before > target)) continue;
    int first = 0x7fffffff;
    UNROLL for (int j = 0; j < PICKED; j++) {
      float running = base[j] + scan[j] - own[j];
      UNROLL for (int i = 0; i < 4; i++) {
        running += w[j][i];
        if (w[j][i] > 0.f && running > target && first == 0x7fffffff) first = at[j] + i;
      }
    }
    if (first != 0x7fffffff) atomicMin(&found[0], first);
    __syncthreads();
    if (found[0] != 0x7fffffff) break;
  }
  if (last >= 0) atomicMax(&found[1], last);
  __syncthreads();
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
