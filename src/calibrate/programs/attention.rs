//! Attention over a paged cache (`kernels/attention.cu`): tile of rows, split of keys, page table.

use super::Setting;
use crate::calibrate::launch::{Buffer, Fill, Launch, Program, Scalar};
use crate::calibrate::work::HEAD_DIM;
use crate::rng::{Purpose, Stream};

/// Tokens of a tile of keys.
const TILE: u64 = 64;
/// Most splits: more parts than this cost more to add up than they save, and the kernel has no room for their weights.
pub const MOST_SPLITS: u64 = 64;
/// Tiles' worth of time that a block spends outside its loop.
const OUTSIDE: u64 = 3;
/// Rows of shares that one block adds up in a tile's worth of time: four rows of eight shares a warp at once, 64 KB that wait
/// for the L2 together, about 0.65 us (from the machine code, not measured), where a tile takes about one. Tiles of 16 and
/// 32 rows have half as much on its way, and seldom much to add.
const MERGED: u64 = 190;
/// Bytes of a tile of keys and one of values in dynamic shared memory.
const STAGE: u64 = 2 * TILE * HEAD_DIM * 2;
/// Stages of the ring.
const STAGES: u64 = 3;
/// Shared memory of a multiprocessor and what a block takes of it beside its own, bytes (H100 and H200).
const SHARED: [u64; 2] = [228 << 10, 1 << 10];

/// What is asked of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Query heads and KV heads.
    pub heads: [u64; 2],
    /// Sequences.
    pub batch: u64,
    /// New tokens a sequence.
    pub queries: u64,
    /// Tokens in the cache by sequence, new ones included; at least `queries`.
    pub context: Vec<u64>,
    /// Tokens a page, a power of two.
    pub page: u64,
    /// Words of a tree mask, one a new token.
    pub tree: Option<Vec<u64>>,
}

/// Where the program's buffers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Queries.
    pub q: usize,
    /// Keys.
    pub k: usize,
    /// Values.
    pub v: usize,
    /// Page table.
    pub pages: usize,
    /// Result.
    pub out: usize,
}

/// Buffers in the order in which [`program`] makes them.
pub const PLACES: Places = Places { q: 0, k: 1, v: 2, pages: 3, out: 4 };

impl Shape {
    /// Pages of the longest sequence.
    pub fn pages_per_sequence(&self) -> u64 {
        self.context.iter().max().map_or(1, |most| most.div_ceil(self.page)).max(1)
    }

    /// The page table: every page of the pool once, in random order.
    pub fn page_table(&self, seed: u64) -> Vec<i32> {
        let n = self.pages_per_sequence() * self.batch;
        let mut table: Vec<i32> = (0..n as i32).collect();
        let mut stream = Stream::new(seed, Purpose::Calibration, &[2]);
        for i in (1..table.len()).rev() {
            let j = (stream.uniform() * (i + 1) as f64) as usize;
            table.swap(i, j.min(i));
        }
        table
    }
}

/// Ancestors, itself included, of the nodes of a binary tree: node i's parent is (i - 1) / 2. At most 64.
pub fn binary_tree(nodes: u64) -> Vec<u64> {
    let mut words: Vec<u64> = Vec::new();
    for i in 0..nodes.min(64) {
        let above = if i == 0 { 0 } else { words[((i - 1) / 2) as usize] };
        words.push(above | 1 << i);
    }
    words
}

/// A kernel, and how its blocks lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    kernel: &'static str,
    /// Of queries and heads together.
    rows: u64,
    threads: u32,
    /// Warps that share the rows' keys.
    key_warps: u64,
    /// Blocks that share a multiprocessor's registers.
    resident: u64,
}

impl Tile {
    /// The kernel for so many rows.
    fn of(rows: u64) -> Self {
        let (kernel, rows, threads, key_warps, resident) = match rows {
            ..=16 => ("attention_rows16", 16, 128, 4, 3),
            17..=32 => ("attention_rows32", 32, 128, 2, 3),
            33..=127 => ("attention_rows64", 64, 128, 1, 2),
            _ => ("attention_rows128", 128, 256, 1, 1),
        };
        Tile { kernel, rows, threads, key_warps, resident }
    }

    /// Shared memory of a block that reads `share` tiles of keys, bytes: no more stages than it has tiles, so that more blocks
    /// of short sequences lie on a multiprocessor; at the end the rows' sums in 4 bytes, a maximum and a mass for each of
    /// the warps that share a row, and a flag.
    fn shared(&self, share: u64) -> u64 {
        let end = 4 * (self.rows * (HEAD_DIM + 2 * self.key_warps) + 1);
        (share.clamp(1, STAGES) * STAGE).max(end)
    }

    /// Shares of `key_tiles` tiles of keys for each of `blocks` blocks of `rows` rows: as few waves of blocks as possible,
    /// weighed with what a block costs beside its loop and with what it costs the last block to add the shares up.
    fn splits(&self, blocks: u64, rows: u64, key_tiles: u64, multiprocessors: u64) -> u64 {
        let cost = |splits: u64| {
            let share = key_tiles.div_ceil(splits);
            let slots = multiprocessors * self.resident.min(SHARED[0] / (self.shared(share) + SHARED[1]));
            let merge = if splits > 1 { rows * splits / MERGED } else { 0 };
            (blocks * splits).div_ceil(slots) * (share + OUTSIDE) + merge
        };
        (1..=MOST_SPLITS.min(key_tiles.max(1))).min_by_key(|splits| (cost(*splits), *splits)).unwrap_or(1)
    }
}

/// The program. `forced` fixes the number of splits.
pub fn program(shape: &Shape, setting: Setting, forced: Option<u64>) -> Program {
    let [heads, kv] = shape.heads;
    let group = heads / kv;
    let rows = shape.queries * group;
    let tile = Tile::of(rows);
    let tiles = rows.div_ceil(tile.rows);
    let key_tiles = shape.context.iter().max().map_or(1, |longest| longest.div_ceil(TILE));
    let blocks = shape.batch * kv * tiles;
    let splits = forced
        .unwrap_or_else(|| tile.splits(blocks, rows.min(tile.rows), key_tiles, setting.multiprocessors));
    let mut program = Program::default();
    let per_sequence = shape.pages_per_sequence();
    let cache = per_sequence * shape.batch * shape.page * kv * HEAD_DIM * 2;
    let io = shape.batch * shape.queries * heads * HEAD_DIM * 2;
    let q = program.buffer(Buffer::hot(io, Fill::Bf16(1.0)));
    let k = program.buffer(Buffer::cold(cache, Fill::Bf16(1.0)));
    let v = program.buffer(Buffer::cold(cache, Fill::Bf16(1.0)));
    let pages = program.buffer(Buffer::ints(&shape.page_table(setting.seed)));
    let out = program.buffer(Buffer::output(io));
    let lengths: Vec<i32> = shape.context.iter().map(|length| *length as i32).collect();
    let context = program.buffer(Buffer::ints(&lengths));
    let tree = shape.tree.as_ref().map(|words| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        program.buffer(Buffer::hot(bytes.len() as u64, Fill::Bytes(bytes)))
    });
    let partial = program.buffer(Buffer::hot(blocks * splits * tile.rows * (HEAD_DIM + 4) * 4, Fill::Zero));
    let arrived = program.buffer(Buffer::hot(blocks * 4, Fill::Zero));
    let scale = std::f64::consts::LOG2_E / libm::sqrt(HEAD_DIM as f64);
    program.launches.push(Launch {
        kernel: tile.kernel,
        grid: [(splits * tiles) as u32, kv as u32, shape.batch as u32],
        threads: tile.threads,
        shared: tile.shared(key_tiles.div_ceil(splits)) as u32,
        pointers: vec![
            Some(q),
            Some(k),
            Some(v),
            Some(pages),
            Some(context),
            tree,
            Some(out),
            Some(partial),
            Some(arrived),
        ],
        scalars: vec![
            Scalar::I32(shape.queries as i32),
            Scalar::I32(kv as i32),
            Scalar::I32(group as i32),
            Scalar::I32(shape.page.trailing_zeros().cast_signed()),
            Scalar::I32(per_sequence as i32),
            Scalar::I32(splits as i32),
            Scalar::F32(scale as f32),
        ],
    });
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sequences_are_split_until_the_device_is_full_and_many_are_not() {
        let few_rows = |blocks, key_tiles| Tile::of(4).splits(blocks, 4, key_tiles, 132);
        // Two blocks of three stages lie on each of 132 multiprocessors.
        assert_eq!(few_rows(8, 2048), 33, "8 x 33 = 264 blocks, one wave");
        assert_eq!(few_rows(2048, 64), 1);
        assert_eq!(few_rows(1, 1), 1, "no more splits than tiles");
        assert!(few_rows(200, 256) > 1, "200 blocks leave a quarter of the device idle");
        // Where there is little to read, adding up decides: the more rows, the fewer shares.
        let of_rows = [36, 64].map(|rows| Tile::of(rows).splits(4, rows, 64, 132));
        assert!(of_rows[0] > of_rows[1] && of_rows[1] > 4, "{of_rows:?}");
    }

    #[test]
    fn blocks_of_short_sequences_take_less_shared_memory_and_all_take_what_their_end_needs() {
        let shared = |rows, share| Tile::of(rows).shared(share);
        assert_eq!([1, 2, 3, 4, 1000].map(|share| shared(4, share) >> 10), [32, 64, 96, 96, 96]);
        // 64 rows of 128 sums are the whole of one stage: maxima and masses lie behind it.
        assert_eq!(shared(64, 1), 4 * (64 * 130 + 1));
        assert_eq!(shared(128, 1), 4 * (128 * 130 + 1));
        assert_eq!(shared(128, 0), shared(128, 1), "an empty share, too");
    }

    #[test]
    fn a_binary_trees_words() {
        assert_eq!(binary_tree(4), [0b1, 0b11, 0b101, 0b1011]);
    }

    #[test]
    fn a_page_table_is_a_permutation() {
        let shape =
            Shape { heads: [4, 1], batch: 3, queries: 1, context: vec![70, 1, 33], page: 16, tree: None };
        let mut table = shape.page_table(1);
        assert_ne!(table, (0..15).collect::<Vec<_>>());
        table.sort_unstable();
        assert_eq!(table, (0..15).collect::<Vec<_>>());
    }
}
