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

    /// Announces a waiting request of a group.
    pub(super) fn announce(&mut self, group: u32, prompt: u32) {
        if self.sharing {
            // The last prompt token is always computed, so that there are logits to sample from.
            let blocks = u64::from(prompt.saturating_sub(1) / self.block_size);
            let prefix = self.prefixes.entry(group).or_insert(Prefix { blocks, running: 0, waiting: 0, cached: false });
            prefix.waiting += 1;
        }
    }

    /// Takes blocks for a request that is admitted with `tokens` of context to hold. Returns the prompt tokens
    /// that need no prefill, and the request's own blocks; `None` where there is no room.
    pub(super) fn admit(&mut self, group: u32, tokens: u32) -> Option<(u32, u64)> {
        let prefix = self.prefixes.get(&group).copied();
        let shared = prefix.map_or(0, |p| p.blocks);
        let cached = prefix.is_some_and(|p| p.cached);
        let own = self.blocks_for(tokens).saturating_sub(shared);
        let needed = own + if cached { 0 } else { shared };
        // While it is being admitted its own prefix must not be evicted to make room.
        self.idle.retain(|g| *g != group);
        if !self.make_room(needed) {
            if cached && prefix.is_some_and(|p| p.running == 0) {
                self.idle.push(group);
            }
            return None;
        }
        self.take(needed);
        if let Some(prefix) = self.prefixes.get_mut(&group) {
            prefix.cached = true;
            prefix.running += 1;
            prefix.waiting -= 1;
        }
        let skipped = if cached { shared as u32 * self.block_size } else { 0 };
        Some((skipped, own))
    }

    /// Admits a request that fits nowhere, beyond the limit.
    pub(super) fn force(&mut self, group: u32, blocks: u64) {
        self.used += blocks;
        if let Some(prefix) = self.prefixes.get_mut(&group) {
            // It holds its whole context as its own; the prefix is not there for others.
            self.used += prefix.blocks;
            prefix.cached = true;
            prefix.running += 1;
            prefix.waiting -= 1;
        }
    }

    /// Takes `blocks` more for running requests, whether or not there is room: check [`Pool::overdrawn`].
    pub(super) fn take(&mut self, blocks: u64) {
        self.used += blocks;
        self.peak = self.peak.max(self.used.min(self.total));
    }

    /// Whether running requests hold more than there is, after idle prefixes were given up.
    pub(super) fn overdrawn(&mut self) -> bool {
        !self.make_room(0)
    }

    /// Returns the blocks of a request that finished or (`again`) was preempted and will come back.
    pub(super) fn release(&mut self, group: u32, own: u64, again: bool) {
        self.used -= own;
        if let Some(prefix) = self.prefixes.get_mut(&group) {
            prefix.running -= 1;
            prefix.waiting += u32::from(again);
            if prefix.running == 0 {
                if prefix.waiting > 0 {
                    self.idle.push(group);
                } else {
                    self.used -= prefix.blocks;
                    self.prefixes.remove(&group);
                }
            }
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
        assert_eq!(pool.admit(7, 66), Some((0, 1)));
        assert_eq!(pool.used(), 5);
        assert_eq!(pool.admit(7, 66), Some((64, 1)));
        assert_eq!(pool.used(), 6);
        pool.release(7, 1, false);
        pool.release(7, 1, false);
        assert_eq!(pool.used(), 4, "kept for the member that waits");
        assert_eq!(pool.admit(7, 66), Some((64, 1)));
        pool.release(7, 1, false);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn idle_prefixes_make_room_and_are_computed_again() {
        let mut pool = Pool::new(8, 16, true);
        (0..2).for_each(|_| pool.announce(1, 65));
        pool.announce(2, 97);
        assert_eq!(pool.admit(1, 66), Some((0, 1)));
        pool.release(1, 1, false);
        assert_eq!(pool.used(), 4);
        assert_eq!(pool.admit(2, 98), Some((0, 1)), "7 blocks, only after group 1's prefix has gone");
        assert_eq!(pool.used(), 7);
        assert_eq!(pool.admit(1, 66), None);
        pool.release(2, 1, false);
        assert_eq!(pool.admit(1, 66), Some((0, 1)));
    }

    #[test]
    fn without_sharing_every_request_holds_its_own() {
        let mut pool = Pool::new(10, 16, false);
        pool.announce(1, 65);
        pool.announce(1, 65);
        assert_eq!(pool.admit(1, 66), Some((0, 5)));
        assert_eq!(pool.admit(1, 66), Some((0, 5)));
        pool.take(1);
        assert!(pool.overdrawn());
        pool.release(1, 6, true);
        assert!(!pool.overdrawn());
        assert_eq!(pool.peak(), 10);
    }
}
