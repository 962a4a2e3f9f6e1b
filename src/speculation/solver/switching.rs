//! When a better configuration is worth the switch.
//!
//! Switch from c to c' iff (1/v_c - 1/v_c') · tokens until the next decision > what the switch costs, and v_c' beats
//! v_c by a margin. In a drain the batch falls and one or two switches happen whatever the rule; where the batch goes up
//! and down, or the belief moves, the rule keeps noise from switching.

use super::CatchUp;

/// The rule's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Switching {
    /// How the drafter catches up.
    pub catch_up: CatchUp,
    /// Tokens of each sequence for which a decision is expected to hold.
    pub horizon: f64,
    /// Relative gain below which nothing changes.
    pub margin: f64,
}

impl Switching {
    /// Switches to whatever is best: warm drafter, no margin.
    pub const FREE: Switching = Switching { catch_up: CatchUp::KeepWarm, horizon: 1.0, margin: 0.0 };

    /// Whether to go from one configuration at `rate` tokens per second to one at `better`; `starts` where the first is
    /// plain decoding.
    pub fn pays(&self, rate: f64, better: f64, starts: bool, batch: u32, context: f64) -> bool {
        if better <= rate * (1.0 + self.margin) {
            return false;
        }
        let cost = if starts { self.catch_up.seconds(batch, context) } else { 0.0 };
        cost <= 0.0 || (1.0 / rate - 1.0 / better) * self.horizon * f64::from(batch) > cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_must_earn_its_price() {
        let catch_up = CatchUp::HiddenStates { fixed: 0.5, per_token: 0.0 };
        let rule = Switching { catch_up, horizon: 100.0, margin: 0.02 };
        // 10 sequences: 1000 tokens at 1000 or 1500 a second save 0.33 s; 2000 tokens 0.67 s.
        assert!(!rule.pays(1000.0, 1500.0, true, 10, 0.0));
        assert!(Switching { horizon: 200.0, ..rule }.pays(1000.0, 1500.0, true, 10, 0.0));
        assert!(rule.pays(1000.0, 1500.0, false, 10, 0.0), "only a start has to catch up");
        assert!(!rule.pays(1000.0, 1015.0, false, 10, 0.0), "inside the margin");
        assert!(Switching::FREE.pays(1000.0, 1000.1, true, 10, 0.0));
        assert!(!Switching::FREE.pays(1000.0, 1000.0, true, 10, 0.0));
    }
}
