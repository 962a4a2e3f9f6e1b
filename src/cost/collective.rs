//! Collectives: all-reduce, the experts' all-to-all, and gather and scatter where an engine has no all-to-all.
//!
//! Inside an NVLink domain all-reduce comes from a table by size (one latency and one bandwidth miss the middle
//! sizes by a factor of two), and all-to-all from one by tokens. Devices with another link: the size is scaled
//! by the ratio of bandwidths, so that the latency floor stays and the bandwidth part follows the link. Beyond a
//! domain all-reduce comes from the network's table of measured ones; elsewhere the network's latency and bandwidth are
//! added to what happens inside: a formula, flagged as such, which is three fifths of what was measured at 256 KB to 1 MB.

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
            return self.all_reduce_between(bytes, ranks, eager);
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

    /// All-reduce over more than one domain: as two nodes were measured to take, growing with their number; by formula for
    /// a network that nobody measured, and for what is beyond the largest row.
    fn all_reduce_between(&self, bytes: f64, ranks: u32, eager: bool) -> Timed {
        let domains = f64::from(ranks.div_ceil(self.domain));
        let outside = Doubt::outside(self.in_sigmas(self.network.spread));
        let Some(table) = &self.network.all_reduce else {
            let seconds = self.all_reduce_by_formula(bytes, domains, eager);
            return Timed { seconds, doubt: outside, bound: Bound::Network };
        };
        // As many bytes a port as there were in the table's nodes of eight.
        let size = bytes * 8.0 / f64::from(self.domain);
        let (first, last) =
            (table.bytes.first().copied().unwrap_or(1.0), table.bytes.last().copied().unwrap_or(1.0));
        let us = log_log(&table.bytes, &table.us, size.clamp(first, last))
            * libm::pow(domains / 2.0, table.growth);
        let extra_us = if eager { self.profile.form.all_reduce.eager_extra_us } else { 0.0 };
        let measured = (us + extra_us) * 1e-6;
        if size <= last {
            let doubt = Doubt::inside(self.in_sigmas(table.spread));
            return Timed { seconds: measured, doubt, bound: Bound::Network };
        }
        let formula = |size| self.all_reduce_by_formula(size * f64::from(self.domain) / 8.0, domains, eager);
        Timed { seconds: measured + formula(size) - formula(last), doubt: outside, bound: Bound::Network }
    }

    /// Reduced inside each domain, then between domains over all links at once, then spread inside; seconds.
    fn all_reduce_by_formula(&self, bytes: f64, domains: f64, eager: bool) -> f64 {
        let inside = self.all_reduce(bytes, self.domain, eager).seconds;
        let share = bytes / f64::from(self.domain);
        let between = 2.0 * (domains - 1.0) / domains * share / (self.network.gb_per_s_per_gpu * 1e9);
        inside + self.network.latency_us * 1e-6 + between
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
        Timed { seconds, doubt: Doubt::outside(self.in_sigmas(self.network.spread)), bound: Bound::Network }
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
        Timed { seconds, doubt: Doubt::outside(self.in_sigmas(self.network.spread)), bound: Bound::Network }
    }
}

/// The smallest time of a table.
fn of_first(table: &TokenTable) -> f64 {
    table.us.first().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::{h100, kernels, ndr400};
    use crate::resolved::{BetweenNodes, Network};

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
        assert!(kernels.all_reduce(1e6, 8, true).seconds > kernels.all_reduce(1e6, 8, false).seconds + 1e-5);
    }

    /// An H100's kernels on a network with measured all-reduces.
    fn measured() -> Kernels {
        let network = Network {
            all_reduce: Some(BetweenNodes {
                source: "a test".into(),
                bytes: vec![1024.0, 65_536.0, 1_048_576.0],
                us: vec![30.0, 50.0, 80.0],
                growth: 0.3,
                spread: 0.2,
            }),
            ..ndr400()
        };
        Kernels::new(&h100(), &network, kernels().profile().clone())
    }

    #[test]
    fn a_device_s_own_rows_come_back_whatever_its_links() {
        for id in ["a100-sxm-80g", "b200", "gb200", "h200-sxm"] {
            let device = crate::catalog::device(id).unwrap_or_else(|error| panic!("{error}"));
            let profile = crate::profile::device(id).unwrap_or_else(|error| panic!("{error}"));
            let kernels = Kernels::new(&device, &ndr400(), profile);
            for table in &kernels.profile().form.all_reduce.tables {
                let (bytes, us) = (table.bytes[11], table.us[11]);
                let got = kernels.all_reduce(bytes, table.gpus, false).seconds * 1e6;
                assert!((got / us - 1.0).abs() < 1e-9, "{id}, {} GPUs: {got} for {us}", table.gpus);
            }
        }
    }

    #[test]
    fn between_nodes_measured_all_reduces_come_before_the_formula() {
        let (formula, kernels) = (kernels(), measured());
        let us = |bytes, ranks| kernels.all_reduce(bytes, ranks, false).seconds * 1e6;
        for (bytes, expected) in
            [(8.0, 30.0), (1024.0, 30.0), (8192.0, 1500.0_f64.sqrt()), (1_048_576.0, 80.0)]
        {
            assert!((us(bytes, 16) - expected).abs() < 1e-6, "{bytes}: {}", us(bytes, 16));
        }
        assert!(
            (us(65_536.0, 32) / us(65_536.0, 16) - 2.0_f64.powf(0.3)).abs() < 1e-9,
            "more nodes take longer"
        );
        assert!(us(1024.0, 12) >= us(1024.0, 16), "half a node more is a node more");
        // Beyond its rows it grows as the formula does, from the last of them.
        let more = |kernels: &Kernels| {
            kernels.all_reduce(16e6, 16, false).seconds - kernels.all_reduce(1_048_576.0, 16, false).seconds
        };
        assert!((more(&kernels) - more(&formula)).abs() < 1e-12);
        let usual = kernels.profile().form.extrapolation_sigma;
        let doubt = |kernels: &Kernels, bytes| kernels.all_reduce(bytes, 16, false).doubt;
        assert_eq!(doubt(&kernels, 4096.0), Doubt::inside(0.2 / usual));
        assert_eq!(doubt(&kernels, 4e6), Doubt::outside(0.35 / usual));
        assert_eq!(doubt(&formula, 4096.0), Doubt::outside(0.35 / usual));
    }

    #[test]
    fn without_measured_ones_the_network_comes_on_top_of_what_happens_inside() {
        let kernels = kernels();
        let [one, two] = [8, 16].map(|ranks| kernels.all_reduce(1e6, ranks, false).seconds);
        assert!((two - one - (30e-6 + 1e6 / 8.0 / 50e9)).abs() < 1e-12, "{one} {two}");
    }
}
