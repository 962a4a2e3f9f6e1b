//! Scoring: servers that all loops share between their RL steps, and times that no loop hides.

use crate::common::{nominal, number, result};
use crate::{shared, split};

fn rewarded(text: &str, reward: &str) -> String {
    assert!(text.contains("rule: { seconds: 2 }"));
    text.replacen("rule: { seconds: 2 }", reward, 1)
}

/// Seconds of a step, and of its reward on all servers.
fn step(text: &str) -> [f64; 2] {
    let run = result(text, &nominal(&["rl_steps=12", "warmup_steps=6"]));
    [number(&run, "forecast.step_s.mean"), number(&run, "forecast.stages_s.reward")]
}

#[test]
fn no_loop_scores_faster_than_its_servers() {
    // 128 samples of 4 s on four sandboxes, or 128 s of one scorer: no step can be shorter for long.
    for reward in ["sandbox: { latency: 4, concurrency: 4 }", "rule: { seconds: 128 }"] {
        let loops = [
            split("preset: one-step-off"),
            split("preset: nemo-rl-max-age"),
            split("preset: areal"),
            split("preset: verl-staleness-drop"),
            shared("mode: sync"),
            shared("mode: sync, over_sampling: { factor: 1.5 }"),
            shared("mode: sync, over_sampling: { factor: 1.5 }, partial_rollouts: true"),
            shared("mode: sync, dynamic_sampling: { all_pass: 0.2, all_fail: 0.0 }"),
        ];
        for text in loops {
            let [step, busy] = step(&rewarded(&text, reward));
            assert!((busy - 128.0).abs() < 1e-6, "{busy}");
            assert!(step > 126.0, "{step} s a step with 128 s of scoring: {reward} in {text}");
        }
    }
}

#[test]
fn one_score_takes_its_time_in_every_loop() {
    let sandbox = |sigma: f64| format!("sandbox: {{ latency: 30, sigma: {sigma}, concurrency: 4096 }}");
    let of = |text: &str, sigma: f64| {
        let run = result(&rewarded(text, &sandbox(sigma)), &nominal(&["rl_steps=4"]));
        number(&run, "forecast.exposed_s.reward")
    };
    // Nothing is over-sampled here: the same samples, and so the same scores.
    let (plain, streamed) = (shared("mode: sync"), shared("mode: sync, over_sampling: { factor: 1.001 }"));
    for sigma in [0.0, 1.0] {
        let [one, other] = [&plain, &streamed].map(|text| of(text, sigma));
        assert!(one >= 30.0 - 1e-6 && (one - other).abs() < 1e-6, "sigma {sigma}: {one} {other}");
    }
    assert!(of(&plain, 1.0) > 90.0, "the slowest of 128");
}
