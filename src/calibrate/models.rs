//! The models whose shapes are measured, from the catalog: Qwen3-8B, Qwen2.5-14B, Qwen3-235B-A22B, Qwen3-0.6B, and the
//! EAGLE-3 drafters of the first three. Drafters are measured with one reduced vocabulary (`work::DRAFT_VOCABULARY`).

use std::path::Path;
use std::sync::LazyLock;

use crate::catalog;
use crate::resolved::Model;

/// Sizes of a dense model, or of the dense part of one with experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Query heads and KV heads.
    pub heads: [u64; 2],
    /// Width of the dense MLP; 0 where there are experts instead.
    pub inter: u64,
    /// Width of what the activation runs over: the dense MLP's or one expert's.
    pub activation: u64,
    /// Rows of the embedding.
    pub vocabulary: u64,
}

impl Sizes {
    fn of(model: &Model) -> Self {
        let inter = u64::from(model.intermediate);
        Sizes {
            layers: u64::from(model.layers),
            hidden: u64::from(model.hidden),
            heads: [model.heads, model.kv_heads].map(u64::from),
            inter: if model.experts.is_some() { 0 } else { inter },
            activation: model.experts.as_ref().map_or(inter, |experts| u64::from(experts.intermediate)),
            vocabulary: u64::from(model.vocab),
        }
    }
}

/// Ids that the catalog has: a test holds that none is left empty.
static TARGETS: LazyLock<[Sizes; 4]> = LazyLock::new(|| {
    ["qwen3-8b", "qwen2.5-14b", "qwen3-235b-a22b", "qwen3-0.6b"].map(|id| {
        catalog::model(id, Path::new("")).map_or_else(|_| Sizes::default(), |model| Sizes::of(&model))
    })
});

static DRAFTERS: LazyLock<[Sizes; 3]> = LazyLock::new(|| {
    ["eagle3-qwen3-8b", "eagle3-qwen2.5-14b", "eagle3-qwen3-235b-a22b"].map(|id| {
        let model = catalog::drafter(id).ok().and_then(|drafter| drafter.model);
        model.as_ref().map_or_else(Sizes::default, Sizes::of)
    })
});

/// Targets; the first is the one whose whole steps are measured.
pub fn targets() -> &'static [Sizes; 4] {
    &TARGETS
}

/// The drafters of the first three.
pub fn drafters() -> &'static [Sizes; 3] {
    &DRAFTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_has_them_all_and_their_heads_are_those_of_the_kernels() {
        let heads = targets().map(|sizes| sizes.heads);
        assert_eq!(heads, [[32, 8], [40, 8], [64, 4], [16, 8]]);
        assert_eq!(targets().map(|sizes| sizes.inter), [12_288, 13_824, 0, 3072]);
        assert_eq!(targets()[2].activation, 1536);
        assert_eq!(drafters().map(|sizes| sizes.inter), [12_288, 13_824, 24_576]);
        for (target, drafter) in targets().iter().zip(drafters()) {
            assert_eq!((target.hidden, target.heads), (drafter.hidden, drafter.heads));
            // Queries of 128 features a head.
            assert!(target.layers > 0 && target.vocabulary > 150_000);
        }
    }
}
