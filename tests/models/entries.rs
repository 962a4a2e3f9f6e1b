//! Every entry of the catalog: it resolves where it fits and prices every kind of step, or is refused by name.

use rollcast::catalog;
use rollcast::piece::Shape;
use rollcast::resolve::ResolveError;
use rollcast::resolved::DrafterKind;

use crate::{Ask, beside, decode, ms};

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
            let numbers = piece.fixed.iter().chain(&piece.per_context_token);
            let beyond = piece.extrapolated.iter().flat_map(|part| [&part.seconds, &part.weighted]);
            assert!(
                numbers.chain(beyond).chain([&piece.per_prefill_pair]).all(|x| x.is_finite()),
                "{ask:?} {shape:?}: {piece:?}"
            );
            let lines = engine.itemised(&shape, total).lines.unwrap();
            let sum: f64 = lines.iter().map(|(line, _)| line.fixed + total * line.per_context_token).sum();
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
        if engine.model.experts.is_some() {
            let wide = Ask { dp_attention: true, ..Ask::new(&row.id, "h200-sxm", 1, 16) };
            prices_every_step(&wide.unbounded(), 3);
        }
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
            // A drafter that looks up has no kernels of its own, and nothing to verify in half of the rounds.
            assert_eq!(
                round <= verify,
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
        // One GPU with room for all of it: what a step costs at batch 1 is reading the weights.
        let ask = Ask::new(&row.id, "h100-sxm", 1, 1).unbounded();
        let [wide, narrow] =
            ["", "weights: fp8, "].map(|keys| ms(&ask.clone().with(keys).engine(), &decode(1, 0), 2048.0));
        // Quantising activations costs a fixed time a product, which small models do not win back.
        let most = if row.params_per_token_billions < 1.0 { 1.15 } else { 1.0 };
        assert!(narrow < most * wide, "{}: fp8 {narrow} ms, bf16 {wide} ms", row.id);
    }
}
