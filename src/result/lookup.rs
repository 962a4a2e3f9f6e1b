//! A number of a result by its path, as `expect:` names it.

use serde_json::Value;

/// A number, and its 5-95 % band where it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// The number; of a summary its median.
    pub value: f64,
    /// Its band.
    pub band: Option<(f64, f64)>,
}

/// The number at a dotted path of a result; list items by number, `expect` and strings are no numbers.
pub fn quantity(result: &Value, path: &str) -> Option<Quantity> {
    let mut at = result;
    for step in path.split('.') {
        at = match at {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            other => other.get(step)?,
        };
    }
    match at {
        Value::Number(number) => Some(Quantity { value: number.as_f64()?, band: None }),
        Value::Object(summary) => {
            let of = |key: &str| summary.get(key).and_then(Value::as_f64);
            Some(Quantity { value: of("median")?, band: of("p05").zip(of("p95")) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_summaries_and_items() {
        let result = json!({
            "forecast": { "step_s": { "median": 5.0, "p05": 4.0, "p95": 7.0 }, "acceptance_per_position": [0.8, 0.7] }
        });
        let step = Quantity { value: 5.0, band: Some((4.0, 7.0)) };
        assert_eq!(quantity(&result, "forecast.step_s"), Some(step));
        assert_eq!(quantity(&result, "forecast.step_s.p95").map(|q| q.value), Some(7.0));
        assert_eq!(quantity(&result, "forecast.acceptance_per_position.1").map(|q| q.value), Some(0.7));
        assert_eq!(quantity(&result, "forecast.stepp_s"), None);
        assert_eq!(quantity(&result, "forecast"), None);
    }
}
