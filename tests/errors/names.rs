//! Names of models, devices, drafters and networks, and a model of one's own by its path.

use std::fs;

use serde_json::json;

use crate::common::{File, SMALL, number, run};
use crate::{ACCEPTANCE, DRAFTER, GPUS, MODEL, SCHEDULE, refused};

#[test]
fn unknown_names_bring_the_nearest() {
    refused(&[(MODEL, "model: qwen3-8bb")], "qwen3-8bb", &["unknown model `qwen3-8bb`", "nearest: qwen3-8b"]);
    refused(&[("device: h100-sxm", "device: h10-sxm")], "h10-sxm", &["unknown device", "h100-sxm"]);
    let drafter = [("drafter: eagle3-qwen3-8b", "drafter: eagle-qwen3-8b")];
    refused(&drafter, "eagle-qwen3-8b", &["unknown drafter", "eagle3-qwen3-8b"]);
    refused(&[(GPUS, "gpus: 8, network: ib-ndr40")], "ib-ndr40", &["unknown network", "ib-ndr400"]);
}

#[test]
fn a_drafter_of_another_target_names_those_that_fit() {
    let other = [("drafter: eagle3-qwen3-8b", "drafter: eagle3-llama-3.1-8b")];
    refused(
        &other,
        "eagle3-llama-3.1-8b",
        &["speculation.drafter", "llama-3.1-8b", "drafters for qwen3-8b:", "eagle3-qwen3-8b", "ngram"],
    );
    let small = [(MODEL, "model: qwen3-0.6b")];
    refused(&small, "eagle3-qwen3-8b", &["drafters for qwen3-0.6b:", "ngram", "suffix"]);
}

#[test]
fn a_config_json_by_path_runs_like_the_catalog_entry() {
    // Qwen3-8B's own figures.
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096,
        "intermediate_size": 12288, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151_936, "tie_word_embeddings": false, "max_position_embeddings": 40960
    });
    let off = SMALL
        .replace(&[DRAFTER, ACCEPTANCE, SCHEDULE].concat(), "")
        .replace("speculation:\n", "speculation: off\n");
    let by_id = {
        let file = File::new(&off);
        run(&["run", file.name(), "--format", "json"]).exits(0).json()
    };
    let file = File::new(&off.replace(MODEL, "model: ./mine/config.json"));
    let folder = file.folder.path().join("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let by_path = run(&["run", file.name(), "--format", "json"]).exits(0).json();
    for quantity in ["forecast.step_s.mean", "forecast.stages_s.generation", "resolved.generation.kv_blocks"]
    {
        assert_eq!(number(&by_path, quantity), number(&by_id, quantity), "{quantity}");
    }

    fs::write(folder.join("config.json"), "{ \"model_type\": \"qwen3\", ").unwrap();
    run(&["run", file.name()]).exits(2).says(&[":3:8: model:", "config.json:1:", "not valid JSON"]);
    fs::remove_file(folder.join("config.json")).unwrap();
    run(&["run", file.name()]).exits(2).says(&["s.yaml:3:8: model:", "mine/config.json"]);
}
