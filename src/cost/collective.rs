//! All-reduce inside an NVLink domain, from a table by size (one latency and one bandwidth miss the middle
//! sizes by a factor of two). Devices with another link: the size is scaled by the ratio of bandwidths, so
//! that the latency floor stays and the bandwidth part follows the link.

use super::{Kernels, Timed};
use crate::math::log_log;

impl Kernels {
    /// All-reduce of `bytes` over `ranks` GPUs; `eager` outside a CUDA graph. Rank counts between the
    /// tables' take the next larger table; beyond the largest it is extrapolated.
    pub fn all_reduce(&self, bytes: f64, ranks: u32, eager: bool) -> Timed {
        let form = &self.profile.form.all_reduce;
        if ranks <= 1 || bytes <= 0.0 {
            return Timed { seconds: 0.0, extrapolated: false };
        }
        let table = form.tables.iter().find(|table| table.gpus >= ranks).or(form.tables.last());
        let Some(table) = table else { return Timed { seconds: 0.0, extrapolated: true } };
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
        Timed { seconds: (us + eager_extra) * 1e-6, extrapolated: ranks > table.gpus || size > last }
    }
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
        assert!(kernels.all_reduce(1e6, 16, false).extrapolated);
        assert!(kernels.all_reduce(1e6, 8, true).seconds > kernels.all_reduce(1e6, 8, false).seconds + 1e-5);
    }
}
