//! Keys and choices that are planned and not built: refused with that word, so that none is silently ignored.
//!
//! When one is built, its line here goes.

use super::raw::Scenario;
use super::raw::{Count, GenerationLayout, Speculation};
use super::{Document, Error};

/// The first planned key in use, as an error at that key.
pub(super) fn check(document: &Document, scenario: &Scenario) -> Result<(), Error> {
    let refuse = Refusal { document };
    let reward_pool = scenario.pools.as_ref().is_some_and(|pools| pools.reward.is_some());
    refuse.if_asked(reward_pool, "pools.reward", "this pool", "generation, training")?;
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
    Ok(())
}

fn generation_layout(refuse: &Refusal<'_>, layout: &GenerationLayout) -> Result<(), Error> {
    refuse.above_one("generation.layout.pp", layout.pp)
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

    fn above_one(&self, path: &str, count: Option<Count>) -> Result<(), Error> {
        let count = count.map_or(1, Count::get);
        self.if_asked(count > 1, path, &format!("`{count}`"), "1")
    }
}
