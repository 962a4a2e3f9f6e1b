//! The JSON Schema of a scenario, for editors; `scenarios/schema.json` is this, and a test compares them.

use super::raw::Scenario;

/// The JSON Schema of a scenario. Descriptions are the doc comments in `raw`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Scenario).to_value()
}

/// The schema as the text of `scenarios/schema.json`.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}
