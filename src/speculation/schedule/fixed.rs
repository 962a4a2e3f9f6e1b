//! Always the same configuration. K = 0 keeps a loaded drafter warm and never drafts.

use super::{Schedule, Snapshot};
use crate::speculation::Configuration;

/// Always one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(pub Configuration);

impl Schedule for Fixed {
    fn decide(&mut self, _: &Snapshot) -> Configuration {
        self.0
    }

    fn max_draft_tokens(&self) -> u32 {
        self.0.draft_tokens()
    }

    fn leapable(&self) -> bool {
        true
    }

    fn trees(&self) -> Vec<Configuration> {
        if matches!(self.0, Configuration::Tree { .. }) { vec![self.0] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_changes_nothing() {
        let mut schedule = Fixed(Configuration::chain(3));
        for running in [1, 64, 512] {
            let snapshot = Snapshot { running, context: 1000, ..Snapshot::default() };
            assert_eq!(schedule.decide(&snapshot).draft_tokens(), 3);
        }
        assert_eq!(
            Fixed(Configuration::chain(0)).decide(&Snapshot {
                running: 1,
                context: 1,
                ..Snapshot::default()
            }),
            Configuration::Off
        );
    }
}
