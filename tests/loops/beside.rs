//! What lies beside generation and training: rewards, and what a whole run adds to its steps.

use crate::common::{SMALL, nominal, number, result, small};

#[test]
fn sandboxes_and_reward_models_hide_behind_generation() {
    let with = |reward: &str| result(&small(&[("reward: { rule: { seconds: 2 } }", reward)]), &nominal(&[]));
    let exposed = |value| number(value, "forecast.exposed_s.reward");
    let busy = |value| number(value, "forecast.stages_s.reward");
    let few = with("reward: { sandbox: { latency: 1, concurrency: 4, overlapped: false } }");
    // 128 samples of a second on four sandboxes.
    assert!((busy(&few) - 32.0).abs() < 1e-9 && (exposed(&few) - 32.0).abs() < 1e-6);
    let hidden = with("reward: { sandbox: { latency: 1, concurrency: 64 } }");
    assert!(exposed(&hidden) >= 1.0 - 1e-6 && exposed(&hidden) < busy(&few));
    let model = with("reward: { model: { gpus: 8, latency: 1, concurrency: 64 } }");
    assert!((exposed(&model) - exposed(&hidden)).abs() < 1e-9);
    let usd = |value| number(value, "forecast.usd_per_step.mean");
    assert!((usd(&model) / usd(&hidden) - 2.0).abs() < 1e-6, "its GPUs are paid for");
}

#[test]
fn a_whole_run_adds_what_lies_beside_its_steps() {
    let text = format!(
        "{SMALL}whole_run: {{ rl_steps: 500, startup_seconds: 300, evaluation: {{ every: 20, seconds: 60 }}, \
         checkpoint: {{ every: 100, seconds: 30 }}, drafter_usd: 50 }}\n"
    );
    let run = result(&text, &nominal(&[]));
    let step = number(&run, "forecast.step_s.mean");
    let seconds = 300.0 + 25.0 * 60.0 + 5.0 * 30.0 + 500.0 * step;
    assert!((number(&run, "whole_run.forecast_hours.mean") * 3600.0 / seconds - 1.0).abs() < 1e-9);
    let usd = seconds * 8.0 * 2.5 / 3600.0 + 50.0;
    assert!((number(&run, "whole_run.forecast_usd.mean") / usd - 1.0).abs() < 1e-9);
    let saved = number(&run, "baseline.usd_per_step.mean") - number(&run, "forecast.usd_per_step.mean");
    let payback = &run["whole_run"]["payback_steps"];
    match payback.as_f64() {
        Some(steps) => assert!((steps * saved / 50.0 - 1.0).abs() < 1e-6),
        None => assert!(saved <= 0.0),
    }
}
