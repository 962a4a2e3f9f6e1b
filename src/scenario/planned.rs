//! Keys and choices that are planned and not built: refused with that word, so that none is silently ignored.
//!
//! A planned key that is switched off (`false` or `off`) asks for nothing, and passes. When one is built, its line
//! here goes.

use super::raw::Scenario;
use super::raw::{Count, CountOrZero, GenerationLayout, Loop, Mode, Planned, Reward, Speculation};
use super::{Document, Error};

/// The first planned key in use, as an error at that key.
pub(super) fn check(document: &Document, scenario: &Scenario) -> Result<(), Error> {
    let refuse = Refusal { document };
    refuse.if_asked(scenario.pools.is_some(), "pools", "`pools`", "cluster")?;
    for (key, value) in [("plan", &scenario.plan), ("tail", &scenario.tail)] {
        refuse.value(key, value.as_ref())?;
    }
    if scenario.sweep.is_some() {
        let hint = "a file with `base:` and `axes:`, and `rollcast sweep FILE`".to_owned();
        return Err(document.error_at(
            "sweep",
            "a sweep is a file of its own, around a scenario",
            Some(hint),
        ));
    }
    if let Some(layout) = scenario.generation.as_ref().and_then(|generation| generation.layout.as_ref()) {
        generation_layout(&refuse, layout)?;
    }
    if let Some(Speculation::On(config)) = &scenario.speculation {
        for (index, candidate) in config.candidates.iter().flatten().enumerate() {
            let path = format!("speculation.candidates[{index}].candidates");
            refuse.if_asked(candidate.candidates.is_some(), &path, "this key", "one list of candidates")?;
        }
    }
    if let Some(training) = &scenario.training {
        refuse.value("training.drafter", training.drafter.as_ref())?;
    }
    if let Some(reward) = &scenario.reward {
        self::reward(&refuse, reward)?;
    }
    scenario.rl_loop.as_ref().map_or(Ok(()), |rl_loop| self::rl_loop(&refuse, rl_loop))
}

fn generation_layout(refuse: &Refusal<'_>, layout: &GenerationLayout) -> Result<(), Error> {
    refuse.above_one("generation.layout.pp", layout.pp)
}

fn reward(refuse: &Refusal<'_>, reward: &Reward) -> Result<(), Error> {
    match reward {
        Reward::Rule(_) => Ok(()),
        Reward::Sandbox(_) => refuse.choice("reward", "sandbox", "rule"),
        Reward::Model(_) => refuse.choice("reward", "model", "rule"),
    }
}

fn rl_loop(refuse: &Refusal<'_>, rl_loop: &Loop) -> Result<(), Error> {
    refuse.if_asked(rl_loop.mode == Some(Mode::Async), "loop.mode", "`async`", "sync")?;
    let staleness = rl_loop.max_staleness.map_or(0, CountOrZero::get);
    refuse.if_asked(staleness > 0, "loop.max_staleness", &format!("`{staleness}`"), "0")?;
    refuse.value("loop.streaming", rl_loop.streaming.as_ref())?;
    refuse.value("loop.interrupt", rl_loop.interrupt.as_ref())?;
    refuse.value("loop.over_sampling", rl_loop.over_sampling.as_ref())?;
    refuse.value("loop.partial_rollouts", rl_loop.partial_rollouts.as_ref())?;
    refuse.value("loop.dynamic_sampling", rl_loop.dynamic_sampling.as_ref())
}

struct Refusal<'a> {
    document: &'a Document,
}

impl Refusal<'_> {
    fn if_asked(&self, asked: bool, path: &str, what: &str, built: &str) -> Result<(), Error> {
        if !asked {
            return Ok(());
        }
        let built = if built.is_empty() { String::new() } else { format!("; built: {built}") };
        Err(self.document.error_at(path, format!("{what} is planned and not built yet{built}"), None))
    }

    /// A choice written alone or as a key.
    fn choice(&self, path: &str, name: &str, built: &str) -> Result<(), Error> {
        // The path to the choice written as a key; written alone, the place falls back to its ancestor.
        self.if_asked(true, &format!("{path}.{name}"), &format!("`{name}`"), built)
    }

    fn value(&self, path: &str, value: Option<&Planned>) -> Result<(), Error> {
        let asked = match value {
            None | Some(Planned::Null | Planned::Bool(false)) => false,
            Some(value) => value.as_str() != Some("off"),
        };
        self.if_asked(asked, path, "this key", "")
    }

    fn above_one(&self, path: &str, count: Option<Count>) -> Result<(), Error> {
        let count = count.map_or(1, Count::get);
        self.if_asked(count > 1, path, &format!("`{count}`"), "1")
    }
}
