//! The inference engine: layout, limits, software and KV cache.

use super::ResolveError;
use super::book::Book;
use super::memory::{self, Fit};
use crate::forward::Software;
use crate::profile::{self, BatchTable, CaptureOf, EngineProfile, MemoryOf, ProfileError};
use crate::resolved::{
    Cluster, Crowd, EngineSettings, Generation, GraphMode, Layout, Model, Overhead, Precision, Router,
    Routing, ScheduleInput, Source, Speculation, Transport,
};
use crate::scenario::raw;

/// What the engine's settings depend on.
pub(super) struct Inputs<'a> {
    pub(super) raw: raw::Generation,
    pub(super) model: &'a Model,
    pub(super) cluster: &'a Cluster,
    /// How many samples reach a replica.
    pub(super) crowd: Crowd,
    pub(super) speculation: Option<&'a Speculation>,
    pub(super) constants: &'a EngineProfile,
    pub(super) max_model_len: u32,
    /// Mean context of a running sequence, tokens.
    pub(super) context: f64,
    pub(super) reserved_gib: f64,
}

/// The engine's name.
pub(super) fn engine_id(book: &mut Book<'_>, raw: Option<&raw::Generation>) -> String {
    let given = raw.and_then(|g| g.engine).map(|engine| match engine {
        raw::Engine::Vllm => "vllm".to_owned(),
        raw::Engine::Sglang => "sglang".to_owned(),
    });
    book.or("generation.engine", given, "vllm".to_owned(), "the usual engine of RL frameworks")
}

/// The engine's constants, with the defaults of the version that is asked for.
pub(super) fn constants(
    book: &mut Book<'_>,
    id: &str,
    raw: Option<&raw::Generation>,
) -> Result<EngineProfile, ResolveError> {
    let path = "generation.engine_version";
    let version = raw.and_then(|g| g.engine_version.as_deref());
    match profile::engine(id, version) {
        Ok(constants) => {
            if version.is_none() {
                let since = &constants.defaults.since;
                book.note(path, since, Source::Default, "settings: the newest whose defaults were read");
            }
            Ok(constants)
        }
        Err(ProfileError::EngineVersion { message, hint }) => {
            Err(book.error(path, message, Some(hint).filter(|hint| !hint.is_empty())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Software costs as the settings ask for them.
pub(super) fn software(generation: &Generation, constants: &EngineProfile) -> Software {
    match generation.engine.overhead {
        Overhead::Measured => {
            let engine = &generation.engine;
            let mut constants = constants.clone();
            if generation.layout.gpus() == 1 {
                constants.per_request_us = constants.per_request_one_gpu_us;
            }
            let seats = engine.max_num_seqs.div_ceil(schedulers(&constants, generation.layout));
            Software::measured(constants, engine.graph_mode, engine.capture_sizes.clone(), seats)
        }
        Overhead::None => Software::none(),
    }
}

pub(super) fn resolve(
    book: &mut Book<'_>,
    engine: String,
    inputs: &Inputs<'_>,
) -> Result<Generation, ResolveError> {
    let (raw, defaults) = (&inputs.raw, &inputs.constants.defaults);
    let device = &inputs.cluster.device;
    let weights = precision(
        book,
        "generation.weights",
        raw.weights,
        "what RL frameworks hand over unless told otherwise",
    );
    let kv_cache = precision(book, "generation.kv_cache_dtype", raw.kv_cache_dtype, "the engines' default");
    for (path, asked) in [("generation.weights", weights), ("generation.kv_cache_dtype", kv_cache)] {
        if asked == Precision::Fp8 && inputs.cluster.device.fp8_tflops.is_none() {
            let message = format!("{} has no fp8 units", inputs.cluster.device.name);
            return Err(book.error(path, message, Some("bf16".to_owned())));
        }
    }
    let overhead = match raw.overhead {
        Some(raw::Overhead::None) => Overhead::None,
        Some(raw::Overhead::Measured) => Overhead::Measured,
        None => {
            book.note("generation.overhead", "measured", Source::Default, "engines as they are");
            Overhead::Measured
        }
    };
    let kernel_floors = raw.kernel_floors.map_or(1.0, raw::Probability::get);
    let lookahead = inputs.speculation.map_or(0, |s| s.schedule.max_draft_tokens());
    let tokens = Limit {
        given: raw.max_num_batched_tokens.map(|n| n.get() as u32),
        each: defaults.max_num_batched_tokens(device.memory_gib, &device.id),
        of_each_rank: inputs.constants.limits_each_rank,
    };
    let seqs = Limit {
        given: raw.max_num_seqs.map(|n| n.get() as u32),
        each: most_seqs(inputs).min((tokens.each / (lookahead + 1)).max(1)),
        of_each_rank: tokens.of_each_rank,
    };
    let block_size = book.or_from(
        "generation.block_size",
        raw.block_size.map(|n| n.get() as u32),
        block_size_of(inputs, kv_cache),
        Source::Profile,
        "the engine's default",
    );
    // The default may depend on the width, which in turn may depend on what fits: the narrowest is asked first.
    let tp = raw.layout.as_ref().and_then(|layout| layout.tp).map_or(1, |tp| tp.get() as u32);
    let memory = MemoryOf {
        memory_gib: device.memory_gib,
        chunk: tokens.given.unwrap_or(tokens.each),
        gpus: tp,
        speculating: inputs.speculation.is_some(),
    };
    let utilization = book.or_from(
        "generation.gpu_memory_utilization",
        raw.gpu_memory_utilization.map(raw::Fraction::get),
        defaults.gpu_memory_utilization(&memory),
        Source::Profile,
        "the engine's default; RL frameworks often lower it when training shares the GPU",
    );
    let fit = Fit { inputs, weights, kv_cache, seqs, tokens, lookahead, block_size, utilization };
    let layout = layout(book, &fit)?;
    let max_num_batched_tokens = book.or_from(
        "generation.max_num_batched_tokens",
        tokens.given,
        tokens.all(layout),
        Source::Profile,
        tokens.why(layout),
    );
    let asked = max_num_seqs(book, &seqs, layout, (lookahead, max_num_batched_tokens))?;
    let max_num_seqs = match fit.state_seats(layout).filter(|seats| *seats < asked) {
        Some(0) if raw.num_gpu_blocks.is_none() => {
            let missing = fit.missing_state_gib(layout).max(fit.missing_gib(layout));
            return Err(fit.does_not_fit(layout, missing));
        }
        Some(seats) if raw.num_gpu_blocks.is_none() => {
            let why =
                format!("as many as have room for their states of linear attention, instead of {asked}");
            book.note("generation.max_num_seqs", seats, Source::Profile, &why);
            seats
        }
        _ => asked,
    };
    if let Some(speculation) = inputs.speculation
        && speculation.tp > layout.gpus()
    {
        let message = format!("a drafter on {} GPUs beside a target on {}", speculation.tp, layout.gpus());
        return Err(book.error("speculation.drafter.tp", message, None));
    }
    let kv_blocks = fit.kv_blocks(book, layout)?;
    let routing = routing(book, inputs);
    let graph_mode = graph_mode(book, inputs)?;
    let schedulers = schedulers(inputs.constants, layout);
    let captured = CaptureOf {
        device: &device.id,
        gpus: layout.gpus(),
        seats: max_num_seqs.div_ceil(schedulers),
        verification: lookahead + 1,
        step: max_num_batched_tokens.div_ceil(schedulers),
    };
    let capture_sizes = capture_sizes(book, inputs, graph_mode, &captured);
    let prefix_caching = book.or_from(
        "generation.prefix_caching",
        raw.prefix_caching,
        defaults.prefix_caching && (inputs.model.linear.is_none() || defaults.prefix_caching_with_states),
        Source::Profile,
        "the engine's default",
    );
    if raw.chunked_prefill == Some(false) {
        let message = "prefill without chunks is planned and not built yet; built: true".to_owned();
        return Err(book.error("generation.chunked_prefill", message, None));
    }
    if raw.router.is_none() {
        book.note("generation.router", "least_loaded", Source::Default, "requests dealt in turn");
    }
    let router = router(raw.router);
    let temperature = raw.temperature.map_or(1.0, raw::NonNegative::get);
    Ok(Generation {
        engine: EngineSettings {
            engine,
            version: raw.engine_version.clone(),
            defaults_since: defaults.since.clone(),
            overhead,
            kernel_floors,
            graph_mode,
            capture_sizes,
            max_num_seqs,
            max_num_batched_tokens,
            max_model_len: inputs.max_model_len,
            gpu_memory_utilization: raw.num_gpu_blocks.is_none().then_some(utilization),
            block_size,
            prefix_caching,
            prefill_alone: inputs.constants.prefill_alone,
            router,
            temperature,
        },
        layout,
        routing,
        replicas: inputs.cluster.gpus / layout.gpus(),
        weights,
        kv_cache,
        kv_blocks,
        state_tokens: fit.state_tokens(layout),
    })
}

/// Tokens of a block. Where blocks are as large as a state, a layer's keys and values of as many tokens are (whole 16s).
fn block_size_of(inputs: &Inputs<'_>, kv_cache: Precision) -> u32 {
    let usual = inputs.constants.defaults.block_size;
    match &inputs.model.linear {
        Some(linear) if inputs.constants.linear_states.sizes_blocks => {
            let tokens = linear.state_bytes() / inputs.model.kv_bytes_per_layer(kv_cache);
            (libm::ceil(tokens / 16.0) as u32 * 16).max(usual)
        }
        _ => usual,
    }
}

/// How samples are dealt.
pub(super) fn router(given: Option<raw::Router>) -> Router {
    match given {
        Some(raw::Router::GroupAffinity) => Router::GroupAffinity,
        Some(raw::Router::LeastLoaded) | None => Router::LeastLoaded,
    }
}

fn precision(book: &mut Book<'_>, path: &str, given: Option<raw::Precision>, why: &str) -> Precision {
    match given {
        Some(raw::Precision::Bf16) => Precision::Bf16,
        Some(raw::Precision::Fp8) => Precision::Fp8,
        None => {
            book.note(path, "bf16", Source::Default, why);
            Precision::Bf16
        }
    }
}

/// A limit of a replica's steps: given for the whole replica, by default the engine's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    given: Option<u32>,
    /// The engine's default.
    each: u32,
    /// Whether that is of each attention rank, which schedules for itself (vLLM), or dealt out to the ranks (SGLang).
    of_each_rank: bool,
}

impl Limit {
    /// Of all attention ranks of a replica together.
    pub(super) fn all(&self, layout: Layout) -> u32 {
        let schedulers = if self.of_each_rank { layout.attention_ranks() } else { 1 };
        self.given.unwrap_or_else(|| self.each.saturating_mul(schedulers))
    }

    fn why(&self, layout: Layout) -> &'static str {
        if self.of_each_rank && layout.attention_ranks() > 1 {
            "the engine's default of each attention rank, times its ranks"
        } else {
            "the engine's default"
        }
    }
}

/// Schedulers of a replica, each with seats and a budget of its own.
fn schedulers(constants: &EngineProfile, layout: Layout) -> u32 {
    if constants.limits_each_rank { layout.attention_ranks() } else { 1 }
}

/// The engine's own limit of sequences at once.
fn most_seqs(inputs: &Inputs<'_>) -> u32 {
    let (defaults, device) = (&inputs.constants.defaults, &inputs.cluster.device);
    match defaults.max_num_seqs_speculating {
        Some(lower) if inputs.speculation.is_some() => lower,
        _ => defaults.max_num_seqs(device.memory_gib, &device.id),
    }
}

fn max_num_seqs(
    book: &mut Book<'_>,
    limit: &Limit,
    layout: Layout,
    (lookahead, budget): (u32, u32),
) -> Result<u32, ResolveError> {
    let path = "generation.max_num_seqs";
    // A default never asks for more than a step can hold.
    let default = limit.all(layout).min((budget / (lookahead + 1)).max(1));
    let sequences = book.or_from(path, limit.given, default, Source::Profile, limit.why(layout));
    let needed = u64::from(sequences) * u64::from(lookahead + 1);
    if needed > u64::from(budget) {
        let message = format!(
            "{sequences} sequences of {} tokens a step are {needed}, beyond generation.max_num_batched_tokens of {budget}",
            lookahead + 1
        );
        let hint = match budget / (lookahead + 1) {
            0 => format!("generation.max_num_batched_tokens of {} or more", lookahead + 1),
            fitting => format!("{fitting} fit"),
        };
        return Err(book.error(path, message, Some(hint)));
    }
    Ok(sequences)
}

/// Which steps replay a CUDA graph: as asked, else the engine's default.
fn graph_mode(book: &mut Book<'_>, inputs: &Inputs<'_>) -> Result<GraphMode, ResolveError> {
    let path = "generation.cudagraph_mode";
    let given = inputs.raw.cudagraph_mode.map(|mode| match mode {
        raw::GraphMode::FullAndPiecewise => GraphMode::FullAndPiecewise,
        raw::GraphMode::FullDecodeOnly => GraphMode::FullDecodeOnly,
        raw::GraphMode::Piecewise => GraphMode::Piecewise,
        raw::GraphMode::None => GraphMode::None,
    });
    if inputs.raw.enforce_eager == Some(true) {
        if let Some(mode) = given.filter(|mode| *mode != GraphMode::None) {
            let message = format!("`{}` beside enforce_eager: true, which captures no graph", mode.name());
            return Err(book.error(path, message, Some("one of the two".to_owned())));
        }
        return Ok(GraphMode::None);
    }
    let default = inputs.constants.defaults.cudagraph_mode;
    let (mode, why) = if pieces_for_table(book, inputs)? && default != GraphMode::None {
        (GraphMode::Piecewise, "a table of draft lengths by batch size costs whole graphs in this version")
    } else {
        (default, "the engine's default")
    };
    Ok(given.unwrap_or_else(|| {
        book.note(path, mode.name(), Source::Profile, why);
        mode
    }))
}

/// Whether a table of draft lengths by batch size makes this version give whole graphs up (vLLM #49548).
fn pieces_for_table(book: &Book<'_>, inputs: &Inputs<'_>) -> Result<bool, ResolveError> {
    let table = inputs.speculation.is_some_and(|s| matches!(s.schedule, ScheduleInput::VllmTable { .. }));
    if !table {
        return Ok(false);
    }
    let defaults = &inputs.constants.defaults;
    match defaults.batch_table {
        Some(BatchTable::Full) => Ok(false),
        Some(BatchTable::PiecewiseMoe) => Ok(inputs.model.experts.is_some()),
        Some(BatchTable::Piecewise) => Ok(true),
        None => {
            let message =
                format!("this engine has no such table: its defaults are those from {}", defaults.since);
            let hint = "generation.engine: vllm, engine_version 0.24 or newer".to_owned();
            Err(book.error("speculation.schedule", message, Some(hint)))
        }
    }
}

fn capture_sizes(book: &mut Book<'_>, inputs: &Inputs<'_>, mode: GraphMode, of: &CaptureOf<'_>) -> Vec<u32> {
    if mode == GraphMode::None {
        return Vec::new();
    }
    if let Some(sizes) = &inputs.raw.cudagraph_capture_sizes {
        return sizes.iter().map(|n| n.get() as u32).collect();
    }
    let sizes = inputs.constants.defaults.capture_sizes(of);
    let largest = sizes.last().copied().unwrap_or(0);
    let shown = format!("up to {largest}");
    book.note("generation.cudagraph_capture_sizes", shown, Source::Profile, "the engine's default");
    sizes
}

/// The given layout, checked; or the smallest tensor-parallel width that fits.
fn layout(book: &mut Book<'_>, fit: &Fit<'_>) -> Result<Layout, ResolveError> {
    let (model, cluster) = (fit.inputs.model, fit.inputs.cluster);
    let given = fit.inputs.raw.layout.clone().unwrap_or_default();
    let count = |n: Option<raw::Count>| n.map(|n| n.get() as u32);
    let dp_attention = given.dp_attention.unwrap_or(false);
    let ep = count(given.ep).unwrap_or(1);
    if (ep > 1 || dp_attention) && model.experts.is_none() {
        let message = format!("{} has no experts to spread", model.id);
        let (key, neutral) = if ep > 1 { ("ep", "1") } else { ("dp_attention", "false") };
        return Err(book.error(
            &format!("generation.layout.{key}"),
            message,
            Some(format!("{neutral}, or leave it out")),
        ));
    }
    let wide = |tp: u32| Layout { tp, ep, dp_attention };
    let tp = if let Some(tp) = count(given.tp) {
        tp
    } else {
        let narrow = memory::widths(model, cluster).find(|tp| fit.missing_gib(wide(*tp)) <= 0.0).unwrap_or(1);
        book.note("generation.layout.tp", narrow, Source::Default, "the smallest that fits memory");
        narrow
    };
    if let Some((message, hint)) = memory::layout_problem(model, cluster, tp) {
        return Err(book.error("generation.layout.tp", message, hint));
    }
    let layout = wide(tp);
    if let Some(message) = memory::expert_problem(model, cluster, layout) {
        return Err(book.error("generation.layout.ep", message, None));
    }
    Ok(layout)
}

/// How tokens choose experts; noted only where there are any.
fn routing(book: &mut Book<'_>, inputs: &Inputs<'_>) -> Routing {
    if inputs.model.experts.is_none() {
        if inputs.raw.routing.is_some() {
            book.without_effect("generation.routing", "the model is dense");
        }
        return Routing::EVEN;
    }
    let given = inputs.raw.routing.clone().unwrap_or_default();
    let why = "even routing: real popularity is not published for rollouts";
    let skew = book.or("generation.routing.skew", given.skew.map(raw::NonNegative::get), 0.0, why);
    let overlap = given.chain_overlap.map(raw::Probability::get);
    let why = "a draft chain's tokens choose experts independently: the dearest assumption";
    let chain_overlap = book.or("generation.routing.chain_overlap", overlap, 0.0, why);
    let spread = inputs.raw.layout.as_ref().and_then(|layout| layout.dp_attention).unwrap_or(false);
    if given.transport.is_some() && !spread {
        let why = "tokens travel between GPUs only with layout.dp_attention";
        book.without_effect("generation.routing.transport", why);
    }
    let transport = match given.transport {
        Some(raw::Transport::AllToAll) => Transport::AllToAll,
        Some(raw::Transport::Gather) => Transport::Gather,
        None => {
            if spread {
                let why = "what vLLM 0.11 and newer (allgather_reducescatter) and SGLang (none) do unless told otherwise";
                book.note("generation.routing.transport", "gather", Source::Default, why);
            }
            Transport::Gather
        }
    };
    Routing { skew, chain_overlap, transport }
}
