//! Collectives: all-reduce, the experts' all-to-all, and gather and scatter where an engine has no all-to-all.
//!
//! Inside an NVLink domain all-reduce comes from a table by size (one latency and one bandwidth miss the middle
//! sizes by a factor of two), and all-to-all from one by tokens. Devices with another link: the size is scaled
//! by the ratio of bandwidths, so that the latency floor stays and the bandwidth part follows the link. Beyond a
//! domain the network's latency and bandwidth are added to what happens inside: a formula, flagged as such.

use super::{Kernels, Timed};
use crate::math::log_log;
use crate::piece::{Bound, Doubt};
use crate::profile::{SizeTable, TokenTable};

impl Kernels {
    /// All-reduce of `bytes` over `ranks` GPUs; `eager` outside a CUDA graph. Rank counts between the
    /// tables' take the next larger table; beyond the largest it is extrapolated.
    pub fn all_reduce(&self, bytes: f64, ranks: u32, eager: bool) -> Timed {
        let form = &self.profile.form.all_reduce;
        if ranks <= 1 || bytes <= 0.0 {
            return Timed::NONE;
        }
        if ranks > self.domain {
            // Reduced inside each domain, then between domains over all links at once, then spread inside.
            let inside = self.all_reduce(bytes, self.domain, eager);
            let domains = f64::from(ranks) / f64::from(self.domain);
            let share = bytes / f64::from(self.domain);
            let between = 2.0 * (domains - 1.0) / domains * share / (self.network.gb_per_s_per_gpu * 1e9);
            let seconds = inside.seconds + self.network.latency_us * 1e-6 + between;
            return Timed { seconds, doubt: Doubt::outside(1.0), bound: Bound::Network };
        }
        let table = form.tables.iter().find(|table| table.gpus >= ranks).or(form.tables.last());
        let Some(table) = table else { return Timed { doubt: Doubt::outside(1.0), ..Timed::NONE } };
        let size = bytes / self.link_ratio;
        let (first, last) =
            (table.bytes.first().copied().unwrap_or(0.0), table.bytes.last().copied().unwrap_or(0.0));
        let us = if size <= first {
            // Below the smallest row only latency is left.
            table.us.first().copied().unwrap_or(0.0)
        } else {
            log_log(&table.bytes, &table.us, size)
        };
        let eager_extra = if eager { form.eager_extra_us } else { 0.0 };
        // Twice the floor is as much bandwidth as latency.
        let floor = table.us.first().copied().unwrap_or(0.0);
        let bound = if us > 2.0 * floor { Bound::Network } else { Bound::Latency };
        Timed {
            seconds: (us + eager_extra) * 1e-6,
            doubt: Doubt::outside(f64::from(ranks > table.gpus || size > last)),
            bound,
        }
    }
}

impl Kernels {
    /// Dispatch and combine of `tokens` tokens a GPU, `elements` numbers each (hidden width times experts per
    /// token), over `ranks` GPUs.
    pub fn all_to_all(&self, tokens: f64, elements: f64, ranks: u32) -> Timed {
        let form = &self.profile.form.all_to_all;
        if ranks <= 1 || tokens <= 0.0 {
            return Timed::NONE;
        }
        // The tables are of hidden 4096 and 8 experts a token: other sizes move as many bytes as more tokens.
        let scaled = tokens * elements / (4096.0 * 8.0) / self.link_ratio;
        let of = |table: &TokenTable| {
            let first = table.tokens.first().copied().unwrap_or(1.0);
            log_log(&table.tokens, &table.us, scaled.max(first))
        };
        let us = of(&form.dispatch) + of(&form.combine);
        let last = form.dispatch.tokens.last().copied().unwrap_or(0.0);
        if ranks <= self.domain {
            let floor = of_first(&form.dispatch) + of_first(&form.combine);
            let bound = if us > 2.0 * floor { Bound::Network } else { Bound::Latency };
            return Timed { seconds: us * 1e-6, doubt: Doubt::outside(f64::from(scaled > last)), bound };
        }
        // What leaves the domain goes over the network, there (8 bits) and back (16 bits).
        let leaving = 1.0 - f64::from(self.domain) / f64::from(ranks);
        let network = 3.0 * tokens * elements * leaving / (self.network.gb_per_s_per_gpu * 1e9);
        let seconds = us * 1e-6 + 2.0 * self.network.latency_us * 1e-6 + network;
        Timed { seconds, doubt: Doubt::outside(1.0), bound: Bound::Network }
    }
}

impl Kernels {
    /// The experts' tokens gathered on every GPU and their results scattered back: what engines do without an
    /// all-to-all of their own. `tokens` a GPU, `hidden` 16-bit numbers each, over `ranks` GPUs.
    pub fn gather_scatter(&self, tokens: f64, hidden: f64, ranks: u32) -> Timed {
        if ranks <= 1 || tokens <= 0.0 {
            return Timed::NONE;
        }
        let form = &self.profile.form.all_reduce;
        let bytes = 2.0 * tokens * hidden * f64::from(ranks);
        let gathered = self.half(&form.all_gather, bytes, ranks);
        let scattered = self.half(&form.reduce_scatter, bytes, ranks);
        Timed {
            seconds: gathered.seconds + scattered.seconds,
            doubt: gathered.doubt.max(scattered.doubt),
            bound: if gathered.bound == scattered.bound { gathered.bound } else { Bound::Network },
        }
    }

    /// All-gather of `bytes` (the whole) over `ranks` GPUs.
    pub fn all_gather(&self, bytes: f64, ranks: u32) -> Timed {
        if ranks <= 1 || bytes <= 0.0 {
            return Timed::NONE;
        }
        self.half(&self.profile.form.all_reduce.all_gather, bytes, ranks)
    }

    /// One half of an all-reduce, gather or scatter, of `bytes` (the whole) over `ranks` GPUs, from its tables.
    fn half(&self, tables: &[SizeTable], bytes: f64, ranks: u32) -> Timed {
        let inside = ranks.min(self.domain);
        let size = bytes * f64::from(inside) / f64::from(ranks) / self.link_ratio;
        let Some(table) = tables.iter().find(|table| table.gpus >= inside).or(tables.last()) else {
            return Timed { doubt: Doubt::outside(1.0), ..Timed::NONE };
        };
        let (first, last) =
            (table.bytes.first().copied().unwrap_or(1.0), table.bytes.last().copied().unwrap_or(1.0));
        let us = log_log(&table.bytes, &table.us, size.max(first));
        let floor = table.us.first().copied().unwrap_or(0.0);
        let doubt = Doubt::outside(f64::from(size > last || inside > table.gpus));
        if ranks <= self.domain {
            let bound = if us > 2.0 * floor { Bound::Network } else { Bound::Latency };
            return Timed { seconds: us * 1e-6, doubt, bound };
        }
        // Each GPU's links bring in what the other domains hold of its share, or take the results out.
        let leaving = 1.0 - f64::from(self.domain) / f64::from(ranks);
        let network = bytes * leaving / f64::from(self.domain) / (self.network.gb_per_s_per_gpu * 1e9);
        let seconds = us * 1e-6 + self.network.latency_us * 1e-6 + network;
        Timed { seconds, doubt: Doubt::outside(1.0), bound: Bound::Network }
    }
}

/// The smallest time of a table.
fn of_first(table: &TokenTable) -> f64 {
    table.us.first().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use crate::cost::testing::kernels;

    #[test]
    fn floors_grows_and_flags() {
        let kernels = kernels();
        assert_eq!(kernels.all_reduce(1e6, 1, false).seconds, 0.0);
        let floor = kernels.all_reduce(64.0, 8, false).seconds;
        assert!((3e-6..7e-6).contains(&floor), "{floor}");
        // 1 MB over 8 GPUs takes 13.5 to 26 us in public tables, 16 MB 92 to 122 us.
        assert!((13e-6..26e-6).contains(&kernels.all_reduce(1_048_576.0, 8, false).seconds));
        let mut last = 0.0;
        for exponent in 8..30 {
            let seconds = kernels.all_reduce(f64::from(1_u32 << exponent), 4, false).seconds;
            assert!(seconds >= last);
            last = seconds;
        }
        // NCCL tables, 8 GPUs: 10 us each at 512 bytes; 1 MB gathered in 17 us.
        let floor = kernels.gather_scatter(1.0, 32.0, 8).seconds;
        assert!((15e-6..30e-6).contains(&floor), "{floor}");
        assert!(kernels.gather_scatter(64.0, 4096.0, 8).seconds > floor);
        assert!(
            kernels.gather_scatter(64.0, 4096.0, 16).seconds
                > kernels.gather_scatter(64.0, 4096.0, 8).seconds
        );
        assert_eq!(kernels.all_reduce(1e6, 16, false).doubt.spread, 1.0);
        assert!(
            kernels.all_reduce(1e6, 16, false).seconds > kernels.all_reduce(1e6, 8, false).seconds + 3e-5
        );
        assert!(kernels.all_reduce(1e6, 8, true).seconds > kernels.all_reduce(1e6, 8, false).seconds + 1e-5);
    }
}
