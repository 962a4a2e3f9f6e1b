//! Batch sizes that an engine captures as CUDA graphs unless told otherwise, as its sources compute them.
//!
//! A list of sizes, bounded by what the engine can ever run: an engine of few seats captures few. Which of them a step
//! replays is `forward::software`'s. Leaves out: sizes for LoRA and microbatches; with a table of draft lengths by batch
//! size vLLM captures whole batches of every length in it, here only those of the longest.

use serde::Deserialize;

/// Devices of compute capability 10.x.
const DATA_CENTER_BLACKWELL: &[&str] = &["b200", "gb200", "b300", "gb300"];

/// What the list depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureOf<'a> {
    /// Catalog id of the device.
    pub device: &'a str,
    /// GPUs of a replica.
    pub gpus: u32,
    /// Most sequences that one scheduler runs at once.
    pub seats: u32,
    /// Tokens of a sequence in a step: 1, or a verification's.
    pub verification: u32,
    /// Most tokens of a step.
    pub step: u32,
}

/// Captured sizes: the first ones, then multiples of `by` up to `to`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureSizes {
    first: Vec<u32>,
    then: Vec<Stretch>,
    /// Largest size of replicas of fewer than four GPUs, where it is smaller.
    narrow_to: Option<u32>,
    /// Largest size on Blackwell of the data center, where it is larger: the last stretch goes on.
    blackwell_to: Option<u32>,
    /// Bound by the seats: twice as many tokens, or twice as many verifications.
    bound: Option<Bound>,
    /// Whole batches that are captured beside the list.
    #[serde(default)]
    whole: Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    TwoTokensASeat,
    TwoVerificationsASeat,
}

/// Batches that need not lie on the list: all their sequences as wide as a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Whole {
    #[default]
    None,
    /// With a drafter, as many sequences as the list has tokens, and all seats.
    Verifications,
    /// And without one, all seats.
    AllSeats,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    to: u32,
    /// Above zero: `every_engine_has_sane_constants_and_rising_versions` expands every entry.
    by: u32,
}

impl CaptureSizes {
    /// The sizes, rising; never empty.
    pub(super) fn list(&self, of: &CaptureOf<'_>) -> Vec<u32> {
        let most = self.largest_on(of.device, of.gpus);
        let counts = self.grid(most);
        let per_seat = match self.bound {
            None => u32::MAX,
            Some(Bound::TwoTokensASeat) => of.seats.saturating_mul(2),
            Some(Bound::TwoVerificationsASeat) => of.seats.saturating_mul(2).saturating_mul(of.verification),
        };
        let bound = most.min(per_seat).min(of.step).max(1);
        let mut sizes: Vec<_> = counts.iter().copied().filter(|size| *size <= bound).collect();
        let all_seats = of.seats.min(most);
        let whole = match self.whole {
            Whole::None => Vec::new(),
            Whole::AllSeats if of.verification == 1 => vec![all_seats],
            Whole::Verifications if of.verification == 1 => Vec::new(),
            Whole::Verifications | Whole::AllSeats => {
                counts.iter().copied().filter(|count| *count <= all_seats).chain([all_seats]).collect()
            }
        };
        sizes.extend(
            whole.iter().map(|count| count.saturating_mul(of.verification)).filter(|size| *size <= bound),
        );
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Largest size of the list, whatever the engine can run, where the device does not matter.
    pub(super) fn largest(&self, gpus: u32) -> u32 {
        let last = self.then.last().map(|stretch| stretch.to).or(self.first.last().copied()).unwrap_or(1);
        self.narrow_to.filter(|_| gpus < 4).map_or(last, |narrow| narrow.min(last))
    }

    fn largest_on(&self, device: &str, gpus: u32) -> u32 {
        let blackwell = self.blackwell_to.filter(|_| DATA_CENTER_BLACKWELL.contains(&device));
        blackwell.unwrap_or_else(|| self.largest(gpus))
    }

    /// The list itself, up to `most`.
    fn grid(&self, most: u32) -> Vec<u32> {
        let mut sizes = self.first.clone();
        for (place, stretch) in self.then.iter().enumerate() {
            let from = sizes.last().copied().unwrap_or(0);
            let next = (from / stretch.by + 1) * stretch.by;
            let to = if place + 1 == self.then.len() { most } else { stretch.to.min(most) };
            sizes.extend((next..=to).step_by(stretch.by as usize));
        }
        sizes
    }
}
