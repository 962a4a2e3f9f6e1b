//! What overrides a scenario: `--set` on the command line, and the baseline's block.

use rollcast::scenario::raw::{Count, Lengths, Speculation, Uncertain, WeightSync};
use rollcast::scenario::{Document, Error, Scenario};

use crate::{GOOD, changed, expect, run};

fn set(assignments: &[&str]) -> Result<Scenario, Error> {
    let mut document = Document::parse("s.yaml", GOOD)?;
    for assignment in assignments {
        document.set(assignment)?;
    }
    document.scenario()
}

#[test]
fn flags_are_named_in_their_errors() {
    let deep = format!("{}a=1", "a.".repeat(100_000));
    let cases: [(&str, &str, &str, &str); 12] = [
        (
            "workload.promts_per_step=3",
            "--set workload.promts_per_step",
            "workload.promts_per_step",
            "`prompts_per_step`",
        ),
        (
            "workload.prompts_per_step=many",
            "--set workload.prompts_per_step",
            "workload.prompts_per_step",
            "`many`",
        ),
        ("generation.layout=3", "--set generation.layout", "generation.layout", "a map of tp"),
        ("cluster={ gpus: 8 }", "--set cluster", "cluster", "missing key `device`"),
        ("seed", "--set", "", "expected PATH=VALUE"),
        ("=3", "--set", "", "one of its keys is empty"),
        ("a..b=3", "--set", "", "one of its keys is empty"),
        ("seed=[1, 2", "--set seed", "", "not valid YAML"),
        ("model.size=3", "--set model.size", "model", "the text `qwen3-8b` | expected a map"),
        ("expect[9].gate=0.1", "--set expect[9].gate", "expect", "a list of 2 items"),
        (
            "workload.response_tokens.lognormal.max=100",
            "s.yaml:9:41",
            "workload.response_tokens.lognormal.mean",
            "clipped at 100",
        ),
        (&deep, "--set", "", "at most 32 steps"),
    ];
    for (assignment, place, path, words) in cases {
        expect(set(&[assignment]), place, path, words);
    }
    let emptied = set(&["workload.prompts_per_step="]);
    expect(emptied, "--set workload.prompts_per_step", "workload.prompts_per_step", "found nothing");
    let both = set(&["workload.prompt_tokens.lognormal={ mean: 3, sigma: 1 }"]);
    expect(
        both,
        "--set workload.prompt_tokens.lognormal",
        "workload.prompt_tokens",
        "found `constant` and `lognormal`",
    );
}

#[test]
fn flags_override() -> Result<(), Error> {
    let scenario = set(&["workload.prompts_per_step=128", "rl_steps = 20", "loop.weight_sync.seconds=3"]);
    expect(scenario, "--set loop.weight_sync.seconds", "loop.weight_sync", "the text `colocated-ipc`");
    let scenario =
        set(&["workload.prompts_per_step=128", "speculation=off", "loop.weight_sync={ seconds: 3 }"])?;
    assert_eq!(scenario.workload.and_then(|w| w.prompts_per_step).map(Count::get), Some(128));
    assert_eq!(scenario.speculation, Some(Speculation::Off));
    assert_eq!(
        scenario.rl_loop.and_then(|l| l.weight_sync),
        Some(WeightSync::Seconds(Uncertain::exact(3.0)))
    );
    Ok(())
}

#[test]
fn baseline_errors_point_into_its_block() {
    run(r"
{ speculation: off } => { specualtion: off }
    25:13 specualtion: did you mean `speculation`?
{ speculation: off } => { workload: { promts: 3 } }
    25:25 workload.promts: unknown key
{ speculation: off } => { workload.promts: 3 }
    25:13 workload.promts: unknown key
{ speculation: off } => { speculation.schedule: 3 }
    25:35 speculation.schedule: found `3`
{ speculation: off } => { model.x: 3 }
    25:13 model: expected a map
{ speculation: off } => { a..b: 3 }
    25:13 (top): one of its keys is empty
{ speculation: off } => { expect: [] }
    25:13 baseline.expect: cannot override
{ speculation: off } => { cluster.gpus: 9 }
    25:27 cluster.gpus: whole nodes
");
}

#[test]
fn a_baseline_merges_sections_and_replaces_the_rest() -> Result<(), Error> {
    let text = changed(
        "{ speculation: off }",
        "{ generation: { layout: { pp: 1 } }, workload: { prompt_tokens: { constant: { tokens: 7 } } }, \
         speculation.schedule.fixed.k: 5 }",
    );
    let document = Document::parse("s.yaml", &text)?;
    let (forecast, baseline) = (document.scenario()?, document.baseline()?.scenario()?);
    let layout =
        baseline.generation.as_ref().and_then(|generation| generation.layout.clone()).unwrap_or_default();
    assert_eq!((layout.tp.map(Count::get), layout.pp.map(Count::get)), (Some(1), Some(1)));
    let length = baseline.workload.as_ref().and_then(|workload| workload.prompt_tokens.clone());
    assert!(matches!(length, Some(Lengths::Constant(constant)) if constant.tokens.get() == 7));
    assert!(format!("{:?}", baseline.speculation).contains("CountOrZero(5)"));
    assert!(forecast.expect.is_some() && baseline.expect.is_none() && baseline.baseline.is_none());

    let plain =
        Document::parse("s.yaml", &changed("baseline: { speculation: off }", ""))?.baseline()?.scenario()?;
    assert_eq!(plain.speculation, Some(Speculation::Off), "the default baseline");
    let same = Document::parse("s.yaml", &changed("{ speculation: off }", "{}"))?.baseline()?.scenario()?;
    assert_ne!(same.speculation, Some(Speculation::Off), "an empty baseline overrides nothing");
    Ok(())
}
