//! What was found, put into a scenario.
//!
//! Left out: anything that would make a forecast look better than it is. Only efficiencies are solved, where asked
//! (`efficiency`), and the values they were solved from are marked.

use std::fmt::Write;

use serde_json::{Value, json};

use super::acceptance;
use super::efficiency::{self, Solved};
use super::found::{Entry, Expected, Found, node};
use super::lengths::with_error;
use super::steps::beside;
use super::words::BOTH_LOGPROBS;
use crate::catalog;
use crate::rollout::Stepper;
use crate::scenario::Document;
use crate::scenario::raw::{self, Speculation};
use crate::speculation::acceptance::acceptance_length;
use crate::study::StudyError;
use crate::yaml::{self, Node};

/// Ratio of two efficiencies from which on they cannot be of one run: waits and recomputation make less.
const APART: f64 = 1.8;
/// A difference of samples or GPUs that is no rounding.
const SAME: f64 = 0.01;

/// A scenario with a log's values in it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its text, remarks as comments on top.
    pub text: String,
    /// What does not fit together.
    pub warnings: Vec<String>,
}

/// Puts everything found into a scenario; with `solve`, efficiencies of training and log-probs too.
pub fn into_scenario(
    found: &Found,
    mut document: Document,
    solve: Option<Stepper>,
) -> Result<Scenario, StudyError> {
    let written = document.scenario()?;
    let drafts = matches!(written.speculation, Some(Speculation::On(_)));
    let mut warnings = mismatches(found, &written);
    let mut head = found.head();
    if drafts && !found.speculates && !found.expect.is_empty() {
        head += "# NOTE no acceptance in the log: it is taken as a run without speculation, and `expect` is about the baseline\n";
    }
    let mut put = Vec::new();
    let shorter = shortened(found, &written, &mut warnings);
    for entry in
        found.entries.iter().map(|entry| shorter.as_ref().filter(|s| s.path == entry.path).unwrap_or(entry))
    {
        match place(entry, &written, drafts) {
            Ok((path, value)) => {
                document.put(path, node(value)?)?;
                put.push((path, entry.from.clone()));
            }
            Err(why) => warnings.push(why),
        }
    }
    let mut expect = expectations(found, &written, drafts);
    // What is wrong now does not fit what was found.
    document.scenario()?;
    let sized = sizes(found, &written).is_empty();
    if solve.is_some() && !sized {
        warnings
            .push("efficiencies are not solved: the log is of another size than this scenario".to_owned());
    }
    if let Some(stepper) = solve.filter(|_| sized) {
        for solved in efficiency::solve(&mut document, &expect, stepper)? {
            warnings.extend(peak(found, &solved, &written));
            put.retain(|(path, _)| *path != solved.path);
            put.push((solved.path, solved.from));
            for expected in expect.iter_mut().filter(|expected| solved.of.contains(&expected.quantity)) {
                expected.source += "; the efficiency was solved from it";
            }
        }
    }
    put_expect(&mut document, &expect)?;
    document.scenario()?;
    for (path, from) in put {
        let _ = writeln!(head, "# {path}: {from}");
    }
    for line in beside(&found.steps, &document, drafts)? {
        let _ = writeln!(head, "# {line}");
    }
    for warning in &warnings {
        let _ = writeln!(head, "# WARNING {warning}");
    }
    Ok(Scenario { text: head + &yaml::to_text(document.root()), warnings })
}

/// Acceptance as a length, where the log has fewer positions than the schedule drafts.
fn shortened(found: &Found, written: &raw::Scenario, warnings: &mut Vec<String>) -> Option<Entry> {
    let entry = found.entries.iter().find(|entry| entry.path == acceptance::KEY)?;
    let given = entry.value.get("per_position")?.as_array()?;
    let Some(Speculation::On(config)) = &written.speculation else { return None };
    let Some(raw::Schedule::Fixed(fixed)) = &config.schedule else { return None };
    let drafted = fixed.k.get() as usize;
    if drafted <= given.len() {
        return None;
    }
    let of = |rate: &Value, key: &str| rate.get(key).and_then(Value::as_f64);
    let rates: Vec<f64> = given.iter().filter_map(|rate| of(rate, "value").or(rate.as_f64())).collect();
    let length = acceptance_length(&rates);
    // The first position carries the error of the length.
    let se = given.first().and_then(|rate| of(rate, "se")).unwrap_or(0.0) * (length - 1.0) / rates.first()?;
    warnings.push(format!(
        "the log has {} positions and the schedule drafts {drafted}: their length is put in, and later positions follow the default decay",
        given.len()
    ));
    let value = json!({ "length": { "value": with_error(length, se), "at_k": given.len() } });
    Some(Entry { path: entry.path, value, from: entry.from.clone() })
}

/// Where an entry goes and what goes there; or why it stays out of this scenario.
fn place<'a>(
    entry: &'a Entry,
    written: &raw::Scenario,
    drafts: bool,
) -> Result<(&'static str, &'a Value), String> {
    if entry.path.starts_with("speculation") && !drafts {
        return Err("the log has acceptance, and this scenario no drafter: left out".to_owned());
    }
    if entry.path != "reward" {
        return Ok((entry.path, &entry.value));
    }
    match &written.reward {
        None => Ok((entry.path, &entry.value)),
        Some(raw::Reward::Rule(_)) => Ok(("reward.rule.seconds", &entry.value["rule"]["seconds"])),
        Some(_) => Err(format!(
            "the log's {} s of scoring are left out: this scenario's reward is no rule",
            entry.value["rule"]["seconds"]
        )),
    }
}

/// Puts values to compare with beside those that are there; the same quantity from the same log takes the old one's place.
fn put_expect(document: &mut Document, expect: &[Expected]) -> Result<(), StudyError> {
    if expect.is_empty() {
        return Ok(());
    }
    let mut all = node(&json!(expect))?;
    let text = |item: &Node, key: &str| match item.child(key).map(|child| &child.value) {
        Some(yaml::Value::Str(text)) => text.clone(),
        _ => String::new(),
    };
    let log = |source: &str| source.split(':').next().unwrap_or_default().to_owned();
    let again = |item: &&Node| {
        expect.iter().any(|new| {
            text(item, "quantity") == new.quantity && log(&text(item, "source")) == log(&new.source)
        })
    };
    let before = document.root().child("expect").map(|node| &node.value);
    if let (Some(yaml::Value::Seq(old)), yaml::Value::Seq(items)) = (before, &mut all.value) {
        let kept: Vec<Node> = old.iter().filter(|item| !again(item)).cloned().collect();
        items.splice(0..0, kept);
    }
    Ok(document.put("expect", all)?)
}

/// How the log's run and the scenario's differ in size.
fn sizes(found: &Found, written: &raw::Scenario) -> Vec<String> {
    let count = |n: Option<raw::Count>| n.map(|n| n.get() as f64);
    let gpus = written.cluster.as_ref().and_then(|cluster| count(cluster.gpus));
    let samples = samples(written).map(|n| n as f64);
    let both = [("samples a step", found.samples, samples), ("GPUs", found.gpus, gpus)];
    let differ = |(what, logged, here): (&str, Option<f64>, Option<f64>)| {
        let (logged, here) = (logged?, here?);
        ((logged / here - 1.0).abs() > SAME)
            .then(|| format!("{logged:.0} {what} in the log, {here:.0} in this scenario"))
    };
    both.into_iter().filter_map(differ).collect()
}

/// What the log and the scenario say differently.
fn mismatches(found: &Found, written: &raw::Scenario) -> Vec<String> {
    let mut all = sizes(found, written);
    let logged = |stage: &str| found.expect.iter().any(|expected| expected.quantity.ends_with(stage));
    let together = found.expect.iter().any(|expected| expected.source.contains(BOTH_LOGPROBS));
    match (logged("logprob_reference"), reference(written)) {
        (true, false) => all.push(
            "the log has log-probs of a reference model, and this scenario no training.reference_logprobs"
                .to_owned(),
        ),
        (false, true) if logged("logprob_old") && !together => all.push(
            "this scenario has training.reference_logprobs, and the log no seconds of a reference model"
                .to_owned(),
        ),
        _ => {}
    }
    all
}

/// Samples of an RL step.
pub fn samples(written: &raw::Scenario) -> Option<u64> {
    let workload = written.workload.as_ref()?;
    Some(workload.prompts_per_step?.get() * workload.samples_per_prompt?.get())
}

/// Whether the scenario asks for log-probs of a reference model.
fn reference(written: &raw::Scenario) -> bool {
    written.training.as_ref().and_then(|training| training.reference_logprobs) == Some(true)
}

/// Where the trainer's own efficiency and the solved one are far apart, the peak that both would be of: the usual mistake is
/// another GPU.
fn peak(found: &Found, solved: &Solved, written: &raw::Scenario) -> Option<String> {
    let entry = found.entries.iter().find(|entry| entry.path == solved.path)?;
    let logged = entry.value.get("value").unwrap_or(&entry.value).as_f64()?;
    let apart = solved.value / logged;
    let pool = written.pools.as_ref().and_then(|pools| pools.training.as_ref());
    let id = pool.or(written.cluster.as_ref())?.device.as_ref()?;
    let device = catalog::device(id).ok()?;
    (!(1.0 / APART..=APART).contains(&apart)).then(|| {
        format!(
            "the log's efficiency is {logged:.2}, its seconds give {:.2} of {id}'s {:.0} TFLOP/s: both hold for a GPU of about \
             {:.0} TFLOP/s, or for other samples or lengths",
            solved.value,
            device.bf16_tflops,
            apart * device.bf16_tflops
        )
    })
}

/// Values to compare with, of the side that ran: without a drafter in the log it is the baseline of a scenario with one.
fn expectations(found: &Found, written: &raw::Scenario, drafts: bool) -> Vec<Expected> {
    let reference = reference(written);
    let mut all = Vec::new();
    for expected in &found.expect {
        let mut expected = expected.clone();
        if reference && expected.source.contains(BOTH_LOGPROBS) {
            expected.value *= 0.5;
            expected.source += ", half of it";
            let quantity = "forecast.stages_s.logprob_reference".to_owned();
            all.push(Expected { quantity, ..expected.clone() });
        }
        all.push(expected);
    }
    if drafts && !found.speculates {
        for expected in &mut all {
            expected.quantity = expected.quantity.replacen("forecast.", "baseline.", 1);
        }
    }
    all
}
