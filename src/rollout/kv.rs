//! Accounts of the paged KV cache: blocks of requests, and prompt blocks shared by a group.
//!
//! A group's full prompt blocks are computed once and referred to by every running member. When no member
//! runs, they stay as long as nobody needs the room and members still wait; then they go.

use std::collections::BTreeMap;

/// One group's shared prompt blocks.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    blocks: u64,
    running: u32,
    waiting: u32,
    cached: bool,
}

/// Block accounts of one replica.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    total: u64,
    used: u64,
    peak: u64,
    block_size: u32,
    prefixes: BTreeMap<u32, Prefix>,
    /// Groups whose prefix is cached while no member runs, oldest first.
    idle: Vec<u32>,
    sharing: bool,
}

impl Pool {
    pub(super) fn new(total: u64, block_size: u32, sharing: bool) -> Self {
        Pool { total, used: 0, peak: 0, block_size, prefixes: BTreeMap::new(), idle: Vec::new(), sharing }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn blocks_for(&self, tokens: u32) -> u64 {
        u64::from(tokens.div_ceil(self.block_size))
    }

    /// Tokens of a prompt that a group shares: whole blocks. The last token is always computed, so that there are logits to
    /// sample from.
    pub(super) fn shared_tokens(&self, prompt: u32) -> u32 {
        prompt.saturating_sub(1) / self.block_size * self.block_size
    }

    /// Announces a waiting request of a group.
    pub(super) fn announce(&mut self, group: u32, prompt: u32) {
        if self.sharing {
            let blocks = u64::from(self.shared_tokens(prompt) / self.block_size);
            let prefix = self.prefixes.entry(group).or_insert(Prefix {
                blocks,
                running: 0,
                waiting: 0,
                cached: false,
            });
            prefix.waiting += 1;
        }
    }

    /// Takes back the announcement of a request that will not come.
    pub(super) fn withdraw(&mut self, group: u32) {
        let Some(prefix) = self.prefixes.get_mut(&group) else { return };
        prefix.waiting -= 1;
        if prefix.running == 0 && prefix.waiting == 0 {
            if prefix.cached {
                self.used -= prefix.blocks;
            }
            self.idle.retain(|g| *g != group);
            self.prefixes.remove(&group);
        }
    }

    /// Takes blocks for a request that is admitted with `tokens` of context to hold. Returns the prompt
    /// tokens that need no prefill, and the request's own blocks; `None` where there is no room. `beyond`
    /// admits it even so.
    pub(super) fn admit(&mut self, group: u32, tokens: u32, beyond: bool) -> Option<(u32, u64)> {
        let prefix = self.prefixes.get(&group).copied();
        let shared = prefix.map_or(0, |p| p.blocks);
        let cached = prefix.is_some_and(|p| p.cached);
        let own = self.blocks_for(tokens).saturating_sub(shared);
        let needed = own + if cached { 0 } else { shared };
        // Nothing is evicted for a request that does not fit, and its own prefix never to make room for it.
        let others = self.idle.iter().filter(|g| **g != group);
        let evictable: u64 = others.filter_map(|g| self.prefixes.get(g)).map(|p| p.blocks).sum();
        if self.used + needed > self.total + evictable && !beyond {
            return None;
        }
        self.idle.retain(|g| *g != group);
        self.make_room(needed);
        self.take(needed);
        if let Some(prefix) = self.prefixes.get_mut(&group) {
            prefix.cached = true;
            prefix.running += 1;
            prefix.waiting -= 1;
        }
        let skipped = if cached { shared as u32 * self.block_size } else { 0 };
        Some((skipped, own))
    }

    /// Takes `blocks` more for running requests, whether or not there is room: check [`Pool::overdrawn`].
    pub(super) fn take(&mut self, blocks: u64) {
        self.used += blocks;
    }

    /// Returns blocks that a running request had reserved and does not hold yet.
    pub(super) fn give_back(&mut self, blocks: u64) {
        self.used -= blocks;
    }

    /// Whether running requests hold more than there is, after idle prefixes were given up.
    pub(super) fn overdrawn(&mut self) -> bool {
        !self.make_room(0)
    }

    /// Counts what is in use now towards the peak. Between a step's growth and its preemptions there is more
    /// in use than ever existed, so this is for the caller to time.
    pub(super) fn note_peak(&mut self) {
        self.peak = self.peak.max(self.used);
    }

    /// Returns the blocks of a request that finished.
    pub(super) fn finish(&mut self, group: u32, own: u64) {
        self.used -= own;
        let Some(prefix) = self.prefixes.get_mut(&group) else { return };
        prefix.running -= 1;
        if prefix.running == 0 && prefix.waiting > 0 {
            self.idle.push(group);
        } else if prefix.running == 0 {
            self.used -= prefix.blocks;
            self.prefixes.remove(&group);
        }
    }

    /// Returns the blocks of a request that was preempted with `computed` tokens in the cache and will come
    /// back. A prefix that it alone was computing and has not finished is given up.
    pub(super) fn preempt(&mut self, group: u32, own: u64, computed: u32) {
        self.used -= own;
        let Some(prefix) = self.prefixes.get_mut(&group) else { return };
        prefix.running -= 1;
        prefix.waiting += 1;
        if prefix.running > 0 {
            return;
        }
        if u64::from(computed / self.block_size) < prefix.blocks {
            prefix.cached = false;
            self.used -= prefix.blocks;
        } else {
            self.idle.push(group);
        }
    }

    /// Evicts idle prefixes, oldest first, until `blocks` more fit.
    fn make_room(&mut self, blocks: u64) -> bool {
        while self.used + blocks > self.total {
            if self.idle.is_empty() {
                return false;
            }
            let group = self.idle.remove(0);
            if let Some(prefix) = self.prefixes.get_mut(&group) {
                prefix.cached = false;
                self.used -= prefix.blocks;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_pays_for_its_prompt_once() {
        let mut pool = Pool::new(100, 16, true);
        (0..3).for_each(|_| pool.announce(7, 65));
        // 65 prompt tokens: 4 full shareable blocks; 66 tokens of context need 5 blocks.
        assert_eq!(pool.admit(7, 66, false), Some((0, 1)));
        assert_eq!(pool.used(), 5);
        assert_eq!(pool.admit(7, 66, false), Some((64, 1)));
        assert_eq!(pool.used(), 6);
        pool.finish(7, 1);
        pool.finish(7, 1);
        assert_eq!(pool.used(), 4, "kept for the member that waits");
        assert_eq!(pool.admit(7, 66, false), Some((64, 1)));
        pool.finish(7, 1);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn idle_prefixes_make_room_and_are_computed_again() {
        let mut pool = Pool::new(8, 16, true);
        (0..2).for_each(|_| pool.announce(1, 65));
        pool.announce(2, 97);
        assert_eq!(pool.admit(1, 66, false), Some((0, 1)));
        pool.finish(1, 1);
        assert_eq!(pool.used(), 4);
        assert_eq!(pool.admit(2, 98, false), Some((0, 1)), "7 blocks, only after group 1's prefix has gone");
        assert_eq!(pool.used(), 7);
        assert_eq!(pool.admit(1, 66, false), None);
        pool.finish(2, 1);
        assert_eq!(pool.admit(1, 66, false), Some((0, 1)));
    }

    #[test]
    fn without_sharing_every_request_holds_its_own() {
        let mut pool = Pool::new(10, 16, false);
        pool.announce(1, 65);
        pool.announce(1, 65);
        assert_eq!(pool.admit(1, 66, false), Some((0, 5)));
        assert_eq!(pool.admit(1, 66, false), Some((0, 5)));
        pool.note_peak();
        pool.take(1);
        assert!(pool.overdrawn());
        pool.preempt(1, 6, 80);
        assert!(!pool.overdrawn());
        assert_eq!(pool.peak(), 10, "the eleventh block was never there");
    }

    #[test]
    fn a_request_that_does_not_fit_evicts_nothing() {
        let mut pool = Pool::new(8, 16, true);
        (0..2).for_each(|_| pool.announce(1, 65));
        pool.announce(2, 129);
        assert_eq!(pool.admit(1, 66, false), Some((0, 1)));
        pool.finish(1, 1);
        assert_eq!(pool.admit(2, 130, false), None, "9 blocks never fit");
        assert_eq!(pool.admit(1, 66, false), Some((64, 1)));
    }

    #[test]
    fn an_unfinished_prefix_is_not_shared() {
        let mut pool = Pool::new(8, 16, true);
        pool.announce(1, 65);
        assert_eq!(pool.admit(1, 66, false), Some((0, 1)));
        pool.preempt(1, 1, 63);
        assert_eq!(pool.used(), 0);
        assert_eq!(pool.admit(1, 66, false), Some((0, 1)));
        pool.preempt(1, 1, 64);
        assert_eq!(pool.admit(1, 66, false), Some((64, 1)));
    }

    #[test]
    fn a_request_admitted_beyond_the_limit_leaves_nothing_behind() {
        let mut pool = Pool::new(4, 16, true);
        (0..2).for_each(|_| pool.announce(1, 65));
        for _ in 0..2 {
            assert_eq!(pool.admit(1, 66, false), None);
            assert!(pool.admit(1, 66, true).is_some());
            assert!(pool.overdrawn());
            pool.note_peak();
            pool.finish(1, 1);
        }
        assert_eq!((pool.used(), pool.peak()), (0, 5));
    }
}
