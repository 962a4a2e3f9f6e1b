//! What a round of each kind of drafter adds to the same verification.

use rollcast::forward::Engine;

use crate::{Ask, decode, ms};

/// An engine with a drafter, and milliseconds of its round for K tokens: what it adds to the same verification.
fn drafter(target: &Ask, id: &str, tp: u32) -> (Engine, impl Fn(u32, u32) -> f64 + use<>) {
    let (with, without) = (target.clone().drafting(id, tp, 7).engine(), target.engine());
    (without.clone(), move |batch, k| {
        ms(&with, &decode(batch, k), 2048.0) - ms(&without, &decode(batch, k), 2048.0)
    })
}

#[test]
fn a_pass_of_an_expert_head_costs_a_layer_of_the_target_and_more() {
    for (model, id) in
        [("deepseek-v3", "mtp-deepseek-v3"), ("glm-4.5", "mtp-glm-4.5"), ("glm-4.5-air", "mtp-glm-4.5-air")]
    {
        let ask = Ask::new(model, "h200-sxm", 8, 8).unbounded();
        let (target, round) = drafter(&ask, id, 1);
        let (_, round_of_eagle) =
            drafter(&Ask::new("qwen3-235b-a22b", "h200-sxm", 8, 8).unbounded(), "eagle3-qwen3-235b-a22b", 8);
        for batch in [1, 8, 64, 256] {
            let step = ms(&target, &decode(batch, 0), 2048.0);
            let layer = step / f64::from(target.model.layers);
            // Of K passes the first also takes in what was verified; the others are alike.
            let pass = (round(batch, 7) - round(batch, 1)) / 6.0;
            let other = (round_of_eagle(batch, 7) - round_of_eagle(batch, 1)) / 6.0;
            eprintln!(
                "{id:16} batch {batch:3}: a pass {pass:.3} ms, {:.2} layers of its target; EAGLE-3 of 235B {other:.3} ms",
                pass / layer
            );
            assert!(pass > layer && pass < 3.0 * layer, "{id} at {batch}: {pass} ms, a layer {layer} ms");
            assert!(pass > 1.2 * other, "{id} at {batch}: {pass} ms, EAGLE-3 of 235B {other} ms");
        }
    }
}

#[test]
fn a_block_costs_a_pass_and_a_chain_one_for_each_token() {
    let target = Ask::new("qwen3-8b", "h100-sxm", 1, 1);
    for id in ["dflash-qwen3-8b", "dspark-qwen3-8b", "peagle-qwen3-8b"] {
        let (_, round) = drafter(&target, id, 1);
        // One pass to take in what was verified, one for the block, and its head.
        assert!(round(1, 7) < 1.05 * round(1, 1), "{id}: {} ms, then {} ms", round(1, 1), round(1, 7));
        let idle = round(1, 0) / round(1, 7);
        if id.starts_with("peagle") {
            assert!((0.33..0.6).contains(&idle), "{id}: what was verified runs through its layers: {idle}");
        } else {
            // Fusion of 5 x 4096 to 4096 and keys and values of 5 layers: 126e6 weights of the round's 1.7e9.
            assert!(idle < 0.25, "{id}: only keys and values: {idle}");
        }
        assert!(round(256, 7) > 4.0 * round(1, 7), "{id}");
    }
    for id in ["eagle3-qwen3-8b", "draft-qwen3-0.6b", "draft-qwen3-1.7b"] {
        let (_, round) = drafter(&target, id, 1);
        for batch in [1, 16, 256] {
            let growth = round(batch, 7) / round(batch, 1);
            assert!((5.0..7.5).contains(&growth), "{id} at {batch}: 7 passes cost {growth} times one");
        }
    }
    let (_, small) = drafter(&target, "draft-qwen3-0.6b", 1);
    let (_, eagle) = drafter(&target, "eagle3-qwen3-8b", 1);
    assert!(
        small(1, 3) > 3.0 * eagle(1, 3),
        "28 layers are dearer than one: {} {}",
        small(1, 3),
        eagle(1, 3)
    );
}

/// An engine that launches every kernel of the target launches every kernel of the drafter, too.
#[test]
fn a_deep_drafter_pays_for_its_launches_where_there_are_no_graphs() {
    let of = |mode: &str, drafter: &str, k: u32| {
        let mut ask = Ask::new("qwen3-8b", "h100-sxm", 1, 1).drafting(drafter, 1, 3);
        ask.generation = format!("cudagraph_mode: {mode}, ");
        ms(&ask.engine(), &decode(4, k), 2048.0)
    };
    // Two passes of 28 layers behind the first, which goes with the verification: 28 x 13 launches each.
    let deep = of("none", "draft-qwen3-0.6b", 3) - of("full_and_piecewise", "draft-qwen3-0.6b", 3);
    let shallow = of("none", "eagle3-qwen3-8b", 3) - of("full_and_piecewise", "eagle3-qwen3-8b", 3);
    assert!(deep > shallow + 20.0, "{deep} {shallow}");
    let pieces = of("piecewise", "draft-qwen3-0.6b", 3) - of("full_and_piecewise", "draft-qwen3-0.6b", 3);
    assert!(pieces > 2.0 && pieces < deep, "{pieces} {deep}");
}
