//! Residual surfaces as profiles write them: whole thousandths of ln(measured / form), in one text.

use serde::Deserialize;

use crate::math::Surface;

/// A surface of ln(measured / form). Written as `axes`, the knots of each axis, and `per_mille`, the
/// thousandths in one text, the last axis fastest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Residual<const D: usize>(pub Surface<D>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    axes: Vec<Vec<f64>>,
    per_mille: String,
}

impl<const D: usize> TryFrom<Written> for Residual<D> {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let axes = <[Vec<f64>; D]>::try_from(written.axes)
            .map_err(|axes| format!("{} axes, expected {D}", axes.len()))?;
        let mut values = Vec::with_capacity(axes.iter().map(Vec::len).product());
        for word in written.per_mille.split_ascii_whitespace() {
            let value: i32 = word.parse().map_err(|_| format!("`{word}` is no whole number"))?;
            values.push(f64::from(value) * 1e-3);
        }
        let found = values.len();
        Surface::new(axes, values)
            .map(Residual)
            .ok_or_else(|| format!("{found} values do not fill the axes, or an axis does not rise"))
    }
}

/// The residual of one measured shape of an expert layer, over tokens, for each routing of the tables.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeResidual {
    /// Width of the residual stream, or of what the experts run at.
    pub hidden: u32,
    /// Matrices of an expert: two where it has no gate.
    #[serde(default = "ShapeResidual::gated")]
    pub matrices: u32,
    /// Width of the whole expert.
    pub inter: u32,
    /// Experts.
    pub experts: u32,
    /// Experts a token.
    pub topk: u32,
    /// GPUs that split each expert.
    pub tp: u32,
    /// GPUs that the experts are spread over.
    pub ep: u32,
    /// ln(measured / form) over (popularity exponent + 1, tokens).
    pub residual: Residual<2>,
}

impl ShapeResidual {
    /// Matrices of a gated expert, which is what nothing is written of.
    pub const GATED: u32 = 3;

    fn gated() -> u32 {
        Self::GATED
    }
}

/// How much longer products take when the power limit acts than in a short burst.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    /// Tokens, rising.
    pub m: Vec<f64>,
    /// Sustained over burst time.
    pub ratio: Vec<f64>,
    /// Log-sigma on top of the product's, where all of its tokens are a prompt's.
    #[serde(default)]
    pub spread: Option<f64>,
}

/// Errors on held-out rows, in per cent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// What was predicted.
    pub family: String,
    /// Which rows were kept from the fit.
    pub split: String,
    /// How many.
    pub rows: usize,
    /// Median of |predicted / measured - 1|.
    pub median: f64,
    /// Its mean.
    pub mean: f64,
    /// Its 95 % quantile.
    pub p95: f64,
    /// Mean of predicted / measured - 1.
    pub bias: f64,
    /// Share of the rows inside the family's 90 % band (without the versions' part of sigma).
    pub in_band: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(axes: Vec<Vec<f64>>, rows: &[&str]) -> Result<Residual<2>, String> {
        Written { axes, per_mille: rows.join("\n") }.try_into()
    }

    #[test]
    fn thousandths_come_in_rows() {
        let axes = vec![vec![1.0, 2.0], vec![1.0, 10.0]];
        let surface = read(axes.clone(), &["0 100", "-50 7"]).unwrap_or_else(|e| panic!("{e}")).0;
        assert_eq!(surface.values(), [0.0, 0.1, -0.05, 0.007]);
        assert!(read(axes.clone(), &["0 100", "-50"]).is_err_and(|e| e.starts_with("3 values")));
        assert!(read(axes, &["0 1", "x 2"]).is_err_and(|e| e == "`x` is no whole number"));
        assert!(read(vec![vec![1.0]], &["0"]).is_err_and(|e| e == "1 axes, expected 2"));
    }
}
