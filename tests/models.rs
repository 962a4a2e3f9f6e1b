//! Every target and drafter of the catalog in an engine: each resolves on some GPUs, prices every kind of step, and its
//! costs follow what is known of it, up to published decode steps.
//!
//! Steps are priced without simulating a run. The generators are seeded, so a run repeats. Leaves out the facts of the
//! entries (`tests/catalog.rs`) and whole forecasts.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the tables are reported")]

#[path = "models/drafters.rs"]
mod drafters;
#[path = "models/entries.rs"]
mod entries;
#[path = "models/experts.rs"]
mod experts;
#[path = "models/growth.rs"]
mod growth;
#[path = "models/steps.rs"]
mod steps;

use rollcast::forward::Engine;
use rollcast::piece::Shape;
use rollcast::resolve::{Prepared, ResolveError, resolve_engine};
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

fn mean_error(ours: &[f64], published: &[f64]) -> f64 {
    let errors = ours.iter().zip(published).map(|(ours, published)| (ours / published - 1.0).abs());
    errors.sum::<f64>() / ours.len() as f64
}
