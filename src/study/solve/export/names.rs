//! What engines call a drafter: vLLM's `method`, SGLang's algorithm, and where its weights are.
//!
//! Sources: vLLM 0.33.0 `config/speculative.py`, sglang 0.5.23 `server_args.py`. A drafter of the catalog is a shape, not
//! weights: where an engine wants a path or a name on Hugging Face, the user gives it or is told to.

use crate::catalog;
use crate::resolved::{Drafter, DrafterKind};

/// A drafter as engines name it.
pub(super) struct Drafting {
    /// Catalog id.
    pub(super) id: String,
    /// How it drafts.
    pub(super) kind: DrafterKind,
    /// vLLM's method.
    pub(super) method: &'static str,
    /// Where its weights are: a path or a Hugging Face id; none where it has none of its own. The catalog's id where
    /// nobody said.
    pub(super) weights: Option<String>,
    /// Whether the weights are the catalog's id, which no engine can load.
    pub(super) placeholder: bool,
    /// Whether vLLM has to be told that one pass drafts all tokens.
    pub(super) parallel: bool,
}

impl Drafting {
    /// Of a drafter, its weights where the user says.
    pub(super) fn of(drafter: &Drafter, given: Option<&str>) -> Self {
        let parallel = drafter.id.starts_with("peagle");
        let method = match drafter.kind {
            DrafterKind::Eagle3 if is_eagle1(drafter) => "eagle",
            DrafterKind::Eagle3 => "eagle3",
            DrafterKind::Mtp => "mtp",
            DrafterKind::Model => "draft_model",
            DrafterKind::Block if drafter.id.starts_with("dflash") => "dflash",
            DrafterKind::Block if parallel => "eagle3",
            DrafterKind::Block => "dspark",
            DrafterKind::Ngram => "ngram",
            DrafterKind::Suffix => "suffix",
        };
        let own = !matches!(drafter.kind, DrafterKind::Mtp | DrafterKind::Ngram | DrafterKind::Suffix);
        // A small model is a model of the catalog, under its own name.
        let listed =
            drafter.model.as_ref().filter(|_| drafter.kind == DrafterKind::Model).and_then(|model| {
                catalog::list().models.into_iter().find(|row| row.id == model.id).map(|row| row.hf_id)
            });
        let known = given.map(str::to_owned).or(listed);
        Drafting {
            id: drafter.id.clone(),
            kind: drafter.kind,
            method,
            placeholder: own && known.is_none(),
            weights: own.then(|| known.unwrap_or_else(|| drafter.id.clone())),
            parallel,
        }
    }

    /// SGLang's `--speculative-algorithm`, of the drafters that its adaptive steps run with.
    pub(super) fn sglang_algorithm(&self) -> &'static str {
        if self.method == "eagle3" { "EAGLE3" } else { "EAGLE" }
    }

    /// Whether SGLang's adaptive steps run with it. Heads for multi-token prediction are EAGLE to SGLang.
    pub(super) fn sglang_adapts(&self) -> bool {
        matches!(self.kind, DrafterKind::Eagle3 | DrafterKind::Mtp)
    }
}

/// The catalog's EAGLE-1 heads; they are priced like EAGLE-3.
fn is_eagle1(drafter: &Drafter) -> bool {
    drafter.fused_layers == 0
}
