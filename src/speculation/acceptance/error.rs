//! What is wrong with acceptance rates that somebody gave.

/// Acceptance rates that no drafter has.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AcceptanceError {
    /// A rate outside [0, 1].
    #[error("the rate {rate} at position {position} is not between 0 and 1")]
    Rate {
        /// Draft position, from 0.
        position: usize,
        /// The rate.
        rate: f64,
    },
    /// Unconditional rates that rise with the position.
    #[error(
        "survival rises to {survival} at position {position}: a token counts only where all before it did"
    )]
    RisingSurvival {
        /// Draft position, from 0.
        position: usize,
        /// The survival there.
        survival: f64,
    },
    /// Ranks whose chances add up to more than one.
    #[error("the chances of the ranks add up to {sum}")]
    Ranks {
        /// Their sum.
        sum: f64,
    },
    /// A length or scale that is not positive and finite.
    #[error("{what} is {value}; it must be {wanted}")]
    Parameter {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        wanted: &'static str,
    },
}
