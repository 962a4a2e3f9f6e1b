//! The files of the catalog, embedded: what ids there are is known without reading any of them.

/// One file of the catalog.
pub(super) struct Entry {
    /// The file's name without its ending; the file repeats it as `id`.
    pub(super) id: &'static str,
    /// What the file holds.
    pub(super) text: &'static str,
}

macro_rules! entries {
    ($folder:literal, $ending:literal, [$($id:literal),+ $(,)?]) => {
        &[$(Entry { id: $id, text: include_str!(concat!($folder, "/", $id, $ending)) }),+]
    };
}

/// Targets, `models/*.json`.
pub(super) const MODELS: &[Entry] = entries!(
    "models",
    ".json",
    [
        "deepseek-v3",
        "glm-4.5",
        "glm-4.5-air",
        "gpt-oss-120b",
        "gpt-oss-20b",
        "kimi-k2",
        "llama-3.1-405b",
        "llama-3.1-70b",
        "llama-3.1-8b",
        "llama-3.3-70b",
        "mimo-7b",
        "minimax-m2.5",
        "nemotron-3-nano-30b-a3b",
        "nemotron-3-super-120b-a12b",
        "nemotron-3-ultra-550b-a55b",
        "qwen2.5-0.5b",
        "qwen2.5-1.5b",
        "qwen2.5-14b",
        "qwen2.5-32b",
        "qwen2.5-3b",
        "qwen2.5-72b",
        "qwen2.5-7b",
        "qwen2.5-math-7b",
        "qwen3-0.6b",
        "qwen3-1.7b",
        "qwen3-14b",
        "qwen3-235b-a22b",
        "qwen3-30b-a3b",
        "qwen3-32b",
        "qwen3-4b",
        "qwen3-8b",
        "qwen3-8b-base",
        "qwen3-coder-480b-a35b",
        "qwen3.5-122b-a10b",
        "qwen3.5-27b",
        "qwen3.5-35b-a3b",
        "qwen3.5-397b-a17b",
        "qwen3.5-9b",
    ]
);

/// Targets that have no formulas here, `refused/*.json`: the reader says why.
pub(super) const REFUSED: &[Entry] = entries!("refused", ".json", ["deepseek-v3.2"]);

/// Drafters, `drafters/*.json`.
pub(super) const DRAFTERS: &[Entry] = entries!(
    "drafters",
    ".json",
    [
        "dflash-qwen3-8b",
        "draft-qwen2.5-0.5b",
        "draft-qwen3-0.6b",
        "draft-qwen3-1.7b",
        "dspark-qwen3-8b",
        "eagle-llama-3.3-70b-fastrl",
        "eagle-qwen2.5-32b-fastrl",
        "eagle-qwen2.5-7b-fastrl",
        "eagle3-deepseek-v3",
        "eagle3-gpt-oss-120b",
        "eagle3-gpt-oss-20b",
        "eagle3-llama-3.1-8b",
        "eagle3-llama-3.3-70b",
        "eagle3-qwen2.5-14b",
        "eagle3-qwen2.5-3b",
        "eagle3-qwen2.5-7b",
        "eagle3-qwen3-235b-a22b",
        "eagle3-qwen3-30b-a3b",
        "eagle3-qwen3-32b",
        "eagle3-qwen3-4b",
        "eagle3-qwen3-8b",
        "mtp-deepseek-v3",
        "mtp-glm-4.5",
        "mtp-glm-4.5-air",
        "mtp-mimo-7b",
        "mtp-nemotron-3-super-120b-a12b",
        "mtp-nemotron-3-ultra-550b-a55b",
        "mtp-qwen3.5-122b-a10b",
        "mtp-qwen3.5-27b",
        "mtp-qwen3.5-35b-a3b",
        "mtp-qwen3.5-397b-a17b",
        "mtp-qwen3.5-9b",
        "ngram",
        "peagle-qwen3-8b",
        "suffix",
    ]
);

/// Devices, `devices/*.yaml`.
pub(super) const DEVICES: &[Entry] = entries!(
    "devices",
    ".yaml",
    ["a100-sxm-80g", "b200", "b300", "gb200", "gb300", "h100-sxm", "h20", "h200-sxm"]
);

/// Networks between nodes, `networks/*.yaml`.
pub(super) const NETWORKS: &[Entry] = entries!(
    "networks",
    ".yaml",
    ["efa-3200", "ethernet-100", "ib-hdr200", "ib-ndr400", "nvl72", "roce-400"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_hold_each_file_once() {
        for table in [MODELS, REFUSED, DRAFTERS, DEVICES, NETWORKS] {
            assert!(table.windows(2).all(|pair| pair[0].id < pair[1].id));
        }
    }

    #[test]
    fn no_file_lacks_its_line() -> std::io::Result<()> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog");
        for (name, ending, table) in [
            ("models", "json", MODELS),
            ("refused", "json", REFUSED),
            ("drafters", "json", DRAFTERS),
            ("devices", "yaml", DEVICES),
            ("networks", "yaml", NETWORKS),
        ] {
            let mut files = Vec::new();
            for file in std::fs::read_dir(folder.join(name))? {
                files.push(file?.file_name().to_string_lossy().into_owned());
            }
            files.sort();
            let mut embedded: Vec<_> = table.iter().map(|entry| format!("{}.{ending}", entry.id)).collect();
            embedded.sort();
            assert_eq!(files, embedded);
        }
        Ok(())
    }
}
