//! Every target and drafter of the catalog in an engine: each resolves on some GPUs, prices every kind of step, and its
//! costs follow what is known of it, up to published decode steps.
//!
//! Steps are priced without simulating a run. The generators are seeded, so a run repeats. Leaves out the facts of the
//! entries (`tests/catalog.rs`) and whole forecasts.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the tables are reported")]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner, contextualize_config};
use rollcast::catalog;
use rollcast::forward::Engine;
use rollcast::piece::Shape;
use rollcast::resolve::{Prepared, ResolveError, resolve_engine};
use rollcast::resolved::DrafterKind;
use rollcast::scenario::Document;

/// One replica of an engine, as a scenario asks for it.
#[derive(Debug, Clone)]
struct Ask {
    model: String,
    device: &'static str,
    tp: u32,
    ep: u32,
    dp_attention: bool,
    /// Further keys of `generation`.
    generation: String,
    /// Drafter, its GPUs, and K.
    drafter: Option<(String, u32, u32)>,
}

impl Ask {
    fn new(model: &str, device: &'static str, tp: u32, ep: u32) -> Self {
        let (model, generation) = (model.to_owned(), "overhead: none, ".to_owned());
        Ask { model, device, tp, ep, dp_attention: false, generation, drafter: None }
    }

    /// Whatever memory there is.
    fn unbounded(mut self) -> Self {
        self.generation += "num_gpu_blocks: 10000000, ";
        self
    }

    fn with(mut self, generation: &str) -> Self {
        self.generation += generation;
        self
    }

    fn drafting(mut self, drafter: &str, tp: u32, k: u32) -> Self {
        self.drafter = Some((drafter.to_owned(), tp, k));
        self
    }

    fn resolve(&self) -> Result<Prepared, ResolveError> {
        let gpus = self.tp.max(self.ep);
        let speculation = self.drafter.as_ref().map_or_else(
            || "off".to_owned(),
            |(id, tp, k)| {
                format!(
                    "{{ drafter: {{ id: {id}, tp: {tp} }}, schedule: {{ fixed: {{ k: {k} }} }}, \
                     acceptance: {{ power_law: {{ first: 0.8, decay: 0.07, concentration: 12 }} }} }}"
                )
            },
        );
        let text = format!(
            "version: 1\nmodel: {}\ncluster: {{ device: {}, gpus: {gpus} }}\nworkload:\n  prompts_per_step: 8\n  \
             samples_per_prompt: 8\n  prompt_tokens: {{ constant: {{ tokens: 100 }} }}\n  \
             response_tokens: {{ constant: {{ tokens: 3000 }} }}\n\
             generation: {{ {}layout: {{ tp: {}, ep: {}, dp_attention: {} }} }}\nspeculation: {speculation}\n",
            self.model, self.device, self.generation, self.tp, self.ep, self.dp_attention,
        );
        resolve_engine(&Document::parse("test.yaml", &text).unwrap())
    }

    fn engine(&self) -> Engine {
        self.resolve().unwrap_or_else(|error| panic!("{self:?}: {error}")).engine
    }
}

/// Milliseconds of a step whose sequences all have this context.
fn ms(engine: &Engine, shape: &Shape, context: f64) -> f64 {
    let total = context * f64::from(shape.decoding);
    let piece = engine.piece(shape, total);
    (piece.seconds(total) + shape.prefill_pairs as f64 * piece.per_prefill_pair) * 1e3
}

/// Sequences that decode or, with draft tokens, verify.
fn decode(decoding: u32, draft_tokens: u32) -> Shape {
    Shape { decoding, draft_tokens, ..Shape::default() }
}

/// The same beside one prompt of so many tokens.
fn beside(shape: Shape, prefill_tokens: u32) -> Shape {
    let pairs = u64::from(prefill_tokens) * u64::from(prefill_tokens + 1) / 2;
    Shape { prefill_tokens, prefill_pairs: pairs, prefill_ends: u32::from(prefill_tokens > 0), ..shape }
}

/// Seconds of one operator, over all layers.
fn operator(engine: &Engine, name: &str, shape: &Shape, context: f64) -> f64 {
    let total = context * f64::from(shape.decoding);
    let lines = engine.itemised(shape, total).lines.unwrap();
    let of = lines.iter().filter(|line| line.operator == name);
    of.map(|line| line.fixed + total * line.per_context_token).sum()
}

/// The first layout that fits memory, narrow and small devices first; with experts both split and spread.
fn smallest(model: &str, change: impl Fn(Ask) -> Ask) -> Ask {
    let spreads = catalog::model(model, ".".as_ref()).unwrap().experts.is_some();
    for gpus in [1, 2, 4, 8, 16, 32, 64] {
        for device in ["h100-sxm", "h200-sxm", "gb200"] {
            for tp in [gpus, 8.min(gpus)] {
                let ep = if spreads { gpus } else { 1 };
                let ask = change(Ask::new(model, device, tp, ep));
                if tp.max(ep) == gpus && ask.resolve().is_ok() {
                    return ask;
                }
            }
        }
    }
    let why = change(Ask::new(model, "gb200", 8, if spreads { 64 } else { 1 })).resolve().map(|_| ());
    panic!("{model} fits nowhere: {}", why.unwrap_err())
}

// ---- every entry ----

fn prices_every_step(ask: &Ask, drafts: u32) {
    let engine = ask.engine();
    let longest = f64::from(engine.model.max_positions);
    for shape in [
        decode(1, 0),
        decode(64, 0),
        decode(1, drafts),
        decode(64, drafts),
        beside(Shape::default(), 2000),
        beside(decode(64, 0), 2000),
        beside(decode(64, drafts), 2000),
    ] {
        for context in [1.0, 2048.0, longest] {
            let total = context * f64::from(shape.decoding);
            let piece = engine.piece(&shape, total);
            assert!(
                piece.context.contains(&total),
                "{ask:?} {shape:?}: {total} is not in {:?}",
                piece.context
            );
            let seconds = ms(&engine, &shape, context) / 1e3;
            assert!(seconds > 1e-4 && seconds < 60.0, "{ask:?} {shape:?} at {context}: {seconds} s");
            let numbers = piece.fixed.iter().chain(&piece.per_context_token).chain(&piece.extrapolated);
            assert!(
                numbers.chain([&piece.per_prefill_pair]).all(|x| x.is_finite()),
                "{ask:?} {shape:?}: {piece:?}"
            );
            let lines = engine.itemised(&shape, total).lines.unwrap();
            let sum: f64 = lines.iter().map(|line| line.fixed + total * line.per_context_token).sum();
            assert!(
                (sum / piece.seconds(total) - 1.0).abs() < 1e-9,
                "{ask:?} {shape:?}: operators make {sum}"
            );
        }
    }
}

#[test]
fn every_model_resolves_where_it_fits_and_prices_every_step() {
    for row in catalog::list().models {
        let ask = smallest(&row.id, |ask| ask);
        prices_every_step(&ask, 3);
        let measured = Ask { generation: String::new(), ..ask.clone() };
        prices_every_step(&measured, 3);
        let (engine, software) = (ask.engine(), measured.engine());
        let [bare, real] = [&engine, &software].map(|engine| ms(engine, &decode(16, 0), 2048.0));
        assert!(real > bare, "{}: {real} ms with software, {bare} without", row.id);
        eprintln!(
            "{:22} {:9} tp {:2} ep {:2} {:8.2} ms at batch 1",
            row.id,
            ask.device,
            ask.tp,
            ask.ep,
            ms(&engine, &decode(1, 0), 2048.0)
        );
    }
}

#[test]
fn every_drafter_drafts_for_each_of_its_targets() {
    let listing = catalog::list();
    for drafter in &listing.drafters {
        let targets: Vec<&str> = listing
            .models
            .iter()
            .filter(|row| row.drafters.contains(&drafter.id))
            .map(|row| row.id.as_str())
            .collect();
        assert!(!targets.is_empty(), "{} has no target", drafter.id);
        for target in targets {
            let ask = smallest(target, |ask| ask.drafting(&drafter.id, 1, 3));
            prices_every_step(&ask, 3);
            let (with, without) = (ask.engine(), Ask { drafter: None, ..ask.clone() }.engine());
            let [round, verify] = [&with, &without].map(|engine| ms(engine, &decode(8, 3), 2048.0));
            let free = matches!(drafter.kind, DrafterKind::Ngram | DrafterKind::Suffix);
            assert_eq!(
                round == verify,
                free,
                "{} for {target}: {round} ms, verification alone {verify}",
                drafter.id
            );
            assert!(verify > ms(&without, &decode(8, 0), 2048.0), "{target}: verification is not free");
        }
    }
}

#[test]
fn what_is_not_modelled_is_refused_by_name() {
    let refused = catalog::list().refused;
    assert!(!refused.is_empty());
    for row in refused {
        match Ask::new(&row.id, "h200-sxm", 8, 1).resolve() {
            Err(ResolveError::Input(error)) => {
                let said = error.to_string();
                let clear = said.contains("is not modelled")
                    && said.contains(&row.id)
                    && said.contains("test.yaml:2");
                assert!(clear, "{}: {said}", row.id);
            }
            other => panic!("{}: {:?}", row.id, other.map(|prepared| prepared.resolved.name)),
        }
    }
}

#[test]
fn narrower_weights_are_cheaper_where_weights_are_the_cost() {
    for row in catalog::list().models {
        let ask = smallest(&row.id, |ask| ask);
        let [wide, narrow] =
            ["", "weights: fp8, "].map(|keys| ms(&ask.clone().with(keys).engine(), &decode(1, 0), 2048.0));
        eprintln!(
            "{:22} {:9} tp {:2} ep {:2} bf16 {wide:7.2} fp8 {narrow:7.2}  {:.2}",
            row.id,
            ask.device,
            ask.tp,
            ask.ep,
            narrow / wide
        );
    }
}

#[test]
fn proto() {
    let h100 = |tp| Ask::new("qwen3-235b-a22b", "h100-sxm", tp, 1).unbounded();
    for (name, ask) in [
        ("tp8", h100(8)),
        ("tp8 skew", h100(8).with("routing: { skew: 0.74 }, ")),
        ("ep8", Ask { ep: 8, ..h100(8) }),
        ("ep8 skew", Ask { ep: 8, ..h100(8) }.with("routing: { skew: 0.74 }, ")),
        ("8b", Ask::new("qwen3-8b", "h100-sxm", 1, 1)),
    ] {
        let e = ask.engine();
        let one = ms(&e, &decode(1, 0), 2048.0);
        eprintln!(
            "{name}: {:?}",
            [0, 1, 3, 7, 15, 31].map(|k| (ms(&e, &decode(1, k), 2048.0) * 100.).round() / 100.)
        );
        eprintln!(
            "   no attention: {:?}",
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
                .map(|k| (ms(&e, &decode(k, 0), 0.0) * 100.).round() / 100.)
        );
        eprintln!("  ratio {}", ms(&e, &decode(1, 7), 2048.0) / one);
    }
    for (target, drafter, tp, ep, dev) in [
        ("deepseek-v3", "mtp-deepseek-v3", 8, 8, "h200-sxm"),
        ("deepseek-v3", "eagle3-deepseek-v3", 8, 8, "h200-sxm"),
        ("deepseek-v3", "mtp-deepseek-v3", 16, 16, "h200-sxm"),
        ("glm-4.5", "mtp-glm-4.5", 8, 8, "h200-sxm"),
        ("glm-4.5-air", "mtp-glm-4.5-air", 4, 4, "h200-sxm"),
        ("glm-4.5-air", "mtp-glm-4.5-air", 4, 1, "h200-sxm"),
        ("mimo-7b", "mtp-mimo-7b", 1, 1, "h200-sxm"),
        ("qwen3-235b-a22b", "eagle3-qwen3-235b-a22b", 8, 8, "h200-sxm"),
        ("qwen3-30b-a3b", "eagle3-qwen3-30b-a3b", 1, 1, "h200-sxm"),
        ("gpt-oss-120b", "eagle3-gpt-oss-120b", 4, 4, "h200-sxm"),
        ("qwen3-8b", "eagle3-qwen3-8b", 1, 1, "h200-sxm"),
        ("qwen3-8b", "dflash-qwen3-8b", 1, 1, "h200-sxm"),
        ("qwen3-8b", "dspark-qwen3-8b", 1, 1, "h200-sxm"),
        ("qwen3-8b", "peagle-qwen3-8b", 1, 1, "h200-sxm"),
        ("qwen3-8b", "draft-qwen3-0.6b", 1, 1, "h200-sxm"),
    ] {
        for b in [1, 8, 64, 256] {
            for dtp in [1, tp] {
                let ask = Ask::new(target, dev, tp, ep).unbounded();
                let without = ask.clone().engine();
                let Ok(p) = ask.drafting(drafter, dtp, 3).resolve() else { continue };
                let with = p.engine;
                let draft = |k| ms(&with, &decode(b, k), 2048.0) - ms(&without, &decode(b, k), 2048.0);
                let step = ms(&without, &decode(b, 0), 2048.0);
                let layer = step / f64::from(without.model.layers);
                eprintln!(
                    "{drafter:24} tp{tp} ep{ep} dtp {dtp} b {b}: step {step:.2} idle {:.3} draft K1 {:.3} K3 {:.3} K7 {:.3} per pass {:.3} layer {layer:.3} pass/layer {:.2} pass/step {:.4}",
                    draft(0),
                    draft(1),
                    draft(3),
                    draft(7),
                    (draft(7) - draft(1)) / 6.,
                    (draft(7) - draft(1)) / 6. / layer,
                    (draft(7) - draft(1)) / 6. / step
                );
                if dtp == tp {
                    break;
                }
            }
        }
    }
    for (name, ask, published) in [
        ("8b h100", Ask::new("qwen3-8b", "h100-sxm", 1, 1), [6.42, 7.60, 10.22, 19.51, 33.96]),
        ("8b h200", Ask::new("qwen3-8b", "h200-sxm", 1, 1), [5.12, 5.80, 7.64, 15.11, 25.77]),
        ("235b", Ask::new("qwen3-235b-a22b", "h100-sxm", 8, 8), [9.28, 17.56, 26.70, 36.37, 44.53]),
    ] {
        let e = ask.unbounded().engine();
        for (b, p) in [1, 8, 32, 128, 256].into_iter().zip(published) {
            let x = ms(&e, &decode(b, 0), 2048.0);
            eprintln!("{name} {b} {x:.2} {p} {:+.1}", 100. * (x / p - 1.));
        }
    }
}
