//! What a fit found: rows that were left out, and errors on rows that the constants were not fitted on.

use std::fmt::Write as _;

use crate::cost::fit::Fitted;
use crate::profile::{DeviceProfile, HeldOut};

/// What families add to their sigma between and beyond the sizes of their tables.
fn doubts(form: &DeviceProfile) -> Vec<(&'static str, &'static str, Vec<f64>)> {
    let mut all = Vec::new();
    let mut add =
        |name, place, sigmas: Option<Vec<f64>>| all.extend(sigmas.map(|sigmas| (name, place, sigmas)));
    let one = |sigma: Option<f64>| sigma.map(|sigma| vec![sigma]);
    let two = |sigmas: Option<[f64; 2]>| sigmas.map(Vec::from);
    for (name, gemm) in [("gemm bf16", &form.gemm.bf16), ("gemm fp8", &form.gemm.fp8)] {
        add(name, "midway between two m", one(gemm.between_m));
        add(name, "one and two octaves beyond in m", two(gemm.beyond_m));
        add(name, "one and two octaves beyond in n or k", two(gemm.beyond_weights));
        add(name, "sustained clocks", one(gemm.sustained.as_ref().and_then(|table| table.spread)));
    }
    let latent = form.attention_latent.as_ref();
    for (name, attention) in
        [("attention_decode", Some(&form.attention_decode)), ("attention_latent", latent)]
    {
        let beyond = attention.and_then(|attention| attention.beyond_context);
        add(name, "one and two octaves beyond in context", two(beyond));
    }
    for (name, moe) in [("moe bf16", &form.moe.bf16), ("moe fp8", &form.moe.fp8)] {
        add(name, "one and two octaves beyond in tokens", two(moe.beyond_tokens));
        add(name, "a layout that no table holds", one(moe.unseen_layout));
        add(name, "a layer that no table holds", one(moe.unseen_shape));
    }
    all
}

/// The held-out table.
pub(in crate::cli) fn fit(fitted: &Fitted) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(out, "{}: errors on held-out rows, per cent\n", fitted.profile.device);
    let _ = writeln!(
        out,
        "{:<17} {:<29} {:>5} {:>6} {:>5} {:>5} {:>5}",
        "family", "left out", "rows", "median", "mean", "p95", "in 90"
    );
    let kept = |family: &str| fitted.kept.iter().any(|name| name == family);
    let fresh = fitted.profile.held_out.iter().filter(|line| !kept(&line.family));
    for HeldOut { family, split, rows, median, mean, p95, in_band, .. } in fresh {
        let _ = writeln!(
            out,
            "{family:<17} {split:<29} {rows:>5} {median:>6.1} {mean:>5.1} {p95:>5.1} {in_band:>5.1}"
        );
    }
    let form = &fitted.profile;
    let _ = writeln!(out, "\nlog-sigma with versions (and the half-width of a 90 % band, %)");
    for (name, sigma) in [
        ("gemm bf16", Some(form.gemm.bf16.sigma)),
        ("gemm fp8", Some(form.gemm.fp8.sigma)),
        ("attention_decode", Some(form.attention_decode.sigma)),
        ("attention_latent", form.attention_latent.as_ref().map(|latent| latent.sigma)),
        ("attention_prefill", Some(form.attention_prefill.sigma)),
        ("linear_attention", Some(form.linear_attention.sigma)),
        ("moe bf16", Some(form.moe.bf16.sigma)),
        ("moe fp8", Some(form.moe.fp8.sigma)),
        ("all_reduce", Some(form.all_reduce.sigma)),
        ("extrapolation", Some(form.extrapolation_sigma)),
    ] {
        let Some(sigma) = sigma else { continue };
        let _ = write!(out, "{name:<18} {sigma:.3}  ({:.0})", 100.0 * (libm::exp(1.645 * sigma) - 1.0));
        let _ = writeln!(out, "{}", if kept(name) { "  as before: no table" } else { "" });
    }
    let more = doubts(form);
    if !more.is_empty() {
        let _ = writeln!(out, "\nlog-sigma on top, where less is known");
        for (name, place, sigmas) in more {
            let sigmas: Vec<String> = sigmas.iter().map(|sigma| format!("{sigma:.3}")).collect();
            let _ = writeln!(out, "{name:<18} {place:<40} {}", sigmas.join(" "));
        }
    }
    if !fitted.excluded.0.is_empty() {
        let _ = writeln!(out, "\nrows left out");
        for (reason, count) in &fitted.excluded.0 {
            let _ = writeln!(out, "{count:>7}  {reason}");
        }
    }
    if !fitted.unused.is_empty() {
        let names: Vec<&str> = fitted.unused.iter().map(|op| op.name()).collect();
        let _ = writeln!(out, "\nnothing is fitted on: {}", names.join(", "));
    }
    out
}
