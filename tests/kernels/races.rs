//! Races inside a block: the kernels under ThreadSanitizer, every thread of a block one of its threads, ordered by the
//! block's barriers and by nothing else.

use std::time::Duration;

use rollcast::calibrate::correctness::{self, Effort};
use rollcast::calibrate::launch::{LaunchError, Launcher, Program};

use crate::host::Host;

/// Hands on what a watched program can run in time: launches of so many blocks. Laws take thousands, and have seen every
/// branch after a few.
struct Few(Host, u32);

impl Launcher for Few {
    fn run(
        &mut self,
        program: &Program,
        data: &mut [Vec<u8>],
        flaw: Option<&str>,
    ) -> Result<(), LaunchError> {
        let blocks = |grid: [u32; 3]| grid.iter().product::<u32>();
        let most = program.launches.iter().map(|launch| blocks(launch.grid)).max().unwrap_or(0);
        if most > self.1 || flaw.is_some() {
            let kernel = program.launches[0].kernel.to_owned();
            return Err(LaunchError { kernel, message: format!("{most} blocks") });
        }
        self.0.run(program, data, flaw)
    }
}

/// The checks that passed, and what ThreadSanitizer reported meanwhile.
fn watched(deaf: bool, blocks: u32) -> Option<(usize, String)> {
    let mut few = Few(Host::watched(deaf)?, blocks);
    let limit = Duration::from_secs(3600);
    let checks = correctness::run(&mut few, 1, Effort::Small, limit, &mut |_| ());
    Some((checks.iter().filter(|check| check.passed).count(), few.0.reports()))
}

#[test]
fn no_two_threads_of_a_block_race() {
    let Some((passed, reports)) = watched(false, 300) else { return };
    assert!(passed > 60, "{passed} checks passed");
    assert!(reports.is_empty(), "{reports}");
}

#[test]
fn without_barriers_they_would_race_and_it_is_seen() {
    // The more races, the longer each report takes.
    let Some((_, reports)) = watched(true, 8) else { return };
    for kernel in ["block_sum", "last_to_arrive", "load_matrices", "pick", "stats_of"] {
        assert!(reports.contains(kernel), "no race in {kernel}\n{reports}");
    }
}
