//! What changes over the RL steps: acceptance that drifts, drafters that learn, lengths that grow.

use rollcast::resolved::Precision;
use rollcast::rl::{InputShift, Simulation};
use rollcast::rollout::Stepper;

use crate::common::{SMALL, forecast, nominal, number, result, small};
use crate::{prepared, split, stream};

#[test]
fn a_schedule_that_knows_the_acceptance_knows_how_it_drifts() {
    let drift = "schedule: { goodput: {} }\n  drift: { exponential: { limit: 0.02, steps: 1 } }\n";
    let drifting = |text: &str| {
        text.replacen("schedule: { fixed: { k: 3 } }\n", drift, 1).replacen("rl_steps: 2", "rl_steps: 12", 1)
    };
    let shifts = InputShift::default();
    let turns = prepared(&drifting(SMALL));
    let simulation = Simulation::new(&turns, shifts, Stepper::Leap);
    let rounds = |step| simulation.step(0, step).replicas.iter().map(|r| r.rounds).sum::<u64>();
    assert!(rounds(0) > 100 && rounds(11) == 0, "{} {}", rounds(0), rounds(11));
    // Drafts over time are told by the schedule of that step.
    let run = result(&drifting(SMALL), &nominal(&["warmup_steps=11"]));
    let curve = run["forecast"]["batch_over_time"].as_array().unwrap().clone();
    assert!(curve.iter().all(|point| point["draft_tokens"].as_f64().unwrap_or(0.0) == 0.0));
    let streaming = prepared(&drifting(&split("mode: async, max_staleness: 1, interrupt: keep_kv")));
    let trained = stream(&streaming, 1.0).trained;
    let rounds = |at: usize| trained[at].replicas.iter().map(|r| r.rounds).sum::<u64>();
    assert!(rounds(0) > 100 && rounds(11) == 0, "{} {}", rounds(0), rounds(11));
}

#[test]
fn a_drafter_that_goes_stale_and_one_that_learns() {
    let drifting = |drift: &str, learner: &str| {
        let text = small(&[
            ("  schedule: { fixed: { k: 3 } }\n", &format!("  schedule: {{ fixed: {{ k: 3 }} }}\n{drift}")),
            ("reference_logprobs: true }", &format!("reference_logprobs: true{learner} }}")),
            ("rl_steps: 2", "rl_steps: 40\nwarmup_steps: 30"),
        ]);
        result(&text, &nominal(&[]))
    };
    let length = |value| number(value, "forecast.acceptance_length");
    let training = |value| number(value, "forecast.stages_s.training");
    let fixed = drifting("", "");
    let falling = "  drift: { exponential: { limit: 0.5, steps: 10 } }\n";
    let frozen = drifting(falling, "");
    let rising = drifting("  drift: { exponential: { limit: 0.9, steps: 10 } }\n", "");
    assert!(length(&frozen) < length(&fixed) - 0.5 && length(&rising) > length(&fixed) + 0.3);
    // Acceptance lengths of .5 and .9 at the first position, the others moved by the same logit.
    let learner = ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 3 }";
    let learning = drifting(falling, learner);
    assert!((length(&learning) - length(&fixed)).abs() < 0.05, "what is lost in a step is learnt in a step");
    assert!((training(&learning) - training(&frozen) - 3.0).abs() < 1e-6, "and is paid for");
    let beside = drifting(
        falling,
        ", drafter: { every: 5, updates: 40, recovery: 10, seconds: 3, placement: overlapped, contention: 0.5 }",
    );
    // A training every fifth step, half of it hidden.
    assert!((training(&beside) - training(&frozen) - 0.3).abs() < 1e-6);
    assert!(length(&beside) < length(&learning) && length(&beside) > length(&frozen));
    let idle = drifting(
        falling,
        ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1, placement: idle }",
    );
    assert!((training(&idle) - training(&frozen)).abs() < 1e-6, "the long tail has room for it");
    let waited = drifting(falling, ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1 }");
    let hidden = number(&waited, "update_interval.update_s") - number(&idle, "update_interval.update_s");
    assert!((hidden - 0.1).abs() < 1e-6, "what idle GPUs take costs the loop nothing: {hidden}");
    // Engines that work on several steps are never all idle: a stream pays for all of it, and says so.
    let learner = |keys: &str| {
        let text = split("mode: async, max_staleness: 1, interrupt: keep_kv").replacen(
            "reference_logprobs: true }",
            &format!("reference_logprobs: true{keys} }}"),
            1,
        );
        let run = result(&text, &nominal(&["rl_steps=6"]));
        number(&run, "forecast.stages_s.training")
    };
    let paid = learner(", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1, placement: idle }");
    assert!((paid - learner("") - 0.1).abs() < 1e-6);
    let by_kl = drifting("  drift: { divergence: { kl_per_step: 0.0005, share: 1 } }\n", "");
    assert!(length(&by_kl) < length(&fixed));
}

#[test]
fn the_best_interval_is_what_simulation_finds() {
    let run = |every: u32| {
        let text = small(&[
            (
                "  schedule: { fixed: { k: 3 } }\n",
                "  schedule: { fixed: { k: 3 } }\n  drift: { points: [[0, 0.776], [240, 0.4]] }\n",
            ),
            (
                "reference_logprobs: true }",
                &format!(
                    "reference_logprobs: true, drafter: {{ every: {every}, updates: 400, recovery: 10, seconds: 0.5 }} }}"
                ),
            ),
            ("rl_steps: 2", "rl_steps: 240"),
            ("prompts_per_step: 16", "prompts_per_step: 64"),
            ("workload_draws: 2", "workload_draws: 1"),
        ]);
        result(&text, &nominal(&[]))
    };
    let every = [2, 4, 8, 16, 32, 64, 120];
    let runs: Vec<_> = every.iter().map(|n| run(*n)).collect();
    let steps: Vec<f64> = runs.iter().map(|run| number(run, "forecast.step_s.mean")).collect();
    let found = every[(0..every.len()).min_by(|a, b| steps[*a].total_cmp(&steps[*b])).unwrap()];
    // All runs' own estimates agree, as none depends on the interval that was asked for.
    for run in &runs {
        let best = number(run, "update_interval.best_every");
        println!("asked {}, best {best}, simulated best {found}", number(run, "update_interval.every"));
        assert!(best / f64::from(found) > 0.5 && best / f64::from(found) < 2.0, "{best} {found} {steps:?}");
    }
    assert!(steps[0] > steps[3] && steps[6] > steps[3], "{steps:?}");
}

#[test]
fn lengths_may_drift_and_inexactness_is_said() {
    let text = small(&[
        ("max: 2048", "max: 16384"),
        ("  response_tokens:", "  response_drift: [[0, 1], [10, 1.5]]\n  response_tokens:"),
        ("rl_steps: 2", "rl_steps: 20\nwarmup_steps: 10"),
    ]);
    let still = small(&[("max: 2048", "max: 16384"), ("rl_steps: 2", "rl_steps: 20\nwarmup_steps: 10")]);
    let (drifting, fixed) = (result(&text, &nominal(&[])), result(&still, &nominal(&[])));
    let rollout = |run| number(run, "baseline.rollout_s.mean");
    // Half as long again, every one of them.
    let longer = rollout(&drifting) / rollout(&fixed);
    assert!((1.35..1.6).contains(&longer), "{longer}");
    let fixed = result(SMALL, &nominal(&[]));
    let text = small(&[("  schedule:", "  inexactness: 0.001\n  schedule:")]);
    let inexact = result(&text, &nominal(&[]));
    for path in ["forecast.step_s.mean", "forecast.acceptance_length"] {
        assert_eq!(number(&inexact, path), number(&fixed, path), "{path}");
    }
    // 1 - .999^500 of the responses.
    let said = inexact["warnings"].to_string();
    assert!(said.contains("inexact by 0.001") && (said.contains("39 %") || said.contains("40 %")), "{said}");
    assert!(!fixed["warnings"].to_string().contains("inexact"));
}

#[test]
fn what_is_trained_beside_a_rollout_serves_the_one_after_it() {
    let lag = |placement: &str| {
        let learner = format!("reference_logprobs: true, drafter: {{ every: 1, updates: 20{placement} }} }}");
        let prepared = prepared(&small(&[("reference_logprobs: true }", &learner)]));
        let booked = prepared.resolved.assumptions.iter().any(|a| a.path == "training.drafter.lag");
        (prepared.resolved.training.drafter.unwrap().lag, booked)
    };
    assert_eq!(lag(""), (0, true));
    assert_eq!(lag(", placement: overlapped"), (1, true));
    assert_eq!(lag(", placement: overlapped, lag: 0"), (0, false));
}

/// A layer of multi-token prediction has weights, though they are not in the drafter's own entry.
#[test]
fn a_layer_of_multi_token_prediction_can_be_trained_and_a_look_up_cannot() {
    let text = |drafter: &str, learner: &str| {
        small(&[
            ("model: qwen3-8b", "model: mimo-7b"),
            ("drafter: eagle3-qwen3-8b", &format!("drafter: {drafter}")),
            ("schedule: { fixed: { k: 3 } }", "schedule: { fixed: { k: 1 } }"),
            ("reference_logprobs: true }", &format!("reference_logprobs: true{learner} }}")),
        ])
    };
    let trained = prepared(&text("mtp-mimo-7b", ", drafter: { every: 1 }")).resolved;
    let drafter = trained.training.drafter.unwrap();
    assert!(drafter.seconds > 0.0 && drafter.sync_seconds > 0.0, "{drafter:?}");
    let speculation = trained.speculation.unwrap();
    let of = speculation.drafter.trained(&trained.model).unwrap();
    assert_eq!(speculation.weights, Precision::Bf16);
    let narrow = text("mtp-mimo-7b", "").replacen("layout: { tp: 1 }", "weights: fp8, layout: { tp: 1 }", 1);
    assert_eq!(
        prepared(&narrow).resolved.speculation.unwrap().weights,
        Precision::Fp8,
        "it is the target's layer"
    );
    // A block drafter proposes through the target's head: it neither holds nor changes it.
    let block = rollcast::catalog::drafter("dflash-qwen3-8b").unwrap();
    let head = 4096.0 * 151_936.0;
    assert!(
        (block.params_per_pass() + block.fusion_params() - block.params() - head).abs() < 1.0,
        "{block:?}"
    );
    // A layer of a 7B model of 36; the head beside it stays, and is run forwards and backwards all the same.
    assert!((1.5e8..3.5e8).contains(&of.weights), "{of:?}");
    let head = f64::from(trained.model.hidden) * f64::from(trained.model.vocab);
    assert!((of.flops_per_token / (6.0 * of.weights + 4.0 * head) - 1.0).abs() < 1e-9, "{of:?}");
    let error = forecast(&text("ngram", ", drafter: { every: 1 }"), &[]).unwrap_err().to_string();
    assert!(error.contains("ngram has no weights to train"), "{error}");
}

#[test]
fn lengths_grow_with_rl_steps_and_not_with_prompts() {
    let growing = |keys: &str| {
        let drift = "  response_drift: [[0, 1], [20, 3]]\ngeneration:";
        let text =
            crate::shared(keys).replacen("generation:", drift, 1).replacen("rl_steps: 2", "rl_steps: 11", 1);
        prepared(&text)
    };
    let mean = |samples: &[rollcast::workload::Sample]| {
        samples.iter().map(|sample| f64::from(sample.response)).sum::<f64>() / samples.len() as f64
    };
    let means = |keys: &str| -> f64 {
        let trained = stream(&growing(keys), 1.0).trained;
        trained.iter().map(|step| mean(&step.samples)).sum::<f64>() / trained.len() as f64
    };
    let prepared = growing("mode: sync");
    let simulation = Simulation::new(&prepared, InputShift::default(), Stepper::Leap);
    let plain =
        (0..11).map(|step| simulation.step(0, step).response_tokens as f64).sum::<f64>() / (11.0 * 128.0);
    for keys in ["over_sampling: { factor: 2.5 }", "dynamic_sampling: { all_pass: 0.3, all_fail: 0.3 }"] {
        let more = means(&format!("mode: sync, order: in_order, {keys}"));
        // The same policy answers; other prompts are among those that are trained.
        assert!((more / plain - 1.0).abs() < 0.12, "{keys}: {more} for {plain}");
    }
}

#[test]
fn batches_that_run_ahead_draft_for_the_weights_that_they_have() {
    let falling = "schedule: { fixed: { k: 3 } }\n  drift: { exponential: { limit: 0.1, steps: 1 } }\n";
    let text = split("preset: one-step-off").replacen("schedule: { fixed: { k: 3 } }\n", falling, 1);
    let prepared = prepared(&text);
    let simulation = Simulation::new(&prepared, InputShift::default(), Stepper::Leap);
    let accepted = |step| {
        let work = simulation.step(0, step);
        let sum =
            |of: fn(&rollcast::rollout::Outcome) -> u64| work.replicas.iter().map(of).sum::<u64>() as f64;
        sum(|r| r.accepted_at[0]) / sum(|r| r.rounds)
    };
    let [first, second, third] = [0, 1, 2].map(accepted);
    // The second batch starts before anything is trained.
    assert!((first - second).abs() < 0.03 && third < first - 0.3, "{first} {second} {third}");
}

#[test]
fn acceptance_that_grows_can_be_moved() {
    let history = "acceptance: { history: { start: 1.6, limit: 3.2, at_k: 3, rollouts: 16, dataset_prompts: 16, shared: true } }";
    let text = small(&[
        ("eagle3-qwen3-8b", "suffix"),
        ("acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }", history),
    ]);
    let mut prepared = prepared(&text);
    let accepted = |prepared: &rollcast::resolve::Prepared| {
        let work = Simulation::new(prepared, InputShift::default(), Stepper::Leap).step(0, 6);
        work.replicas.iter().flat_map(|r| &r.accepted_at).sum::<u64>() as f64
            / work.replicas.iter().map(|r| r.rounds).sum::<u64>() as f64
    };
    let before = accepted(&prepared);
    let seen = prepared.resolved.speculation.as_mut().unwrap().acceptance.history.as_mut().unwrap();
    seen.scale = 0.9;
    let after = accepted(&prepared);
    assert!(after < 0.95 * before && after > 0.7 * before, "{after} after {before}");
}
