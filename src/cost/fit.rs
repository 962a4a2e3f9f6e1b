//! Calibration: the constants of a device's profile, fitted to measured tables, with the errors that they make on
//! rows they have not seen.
//!
//! Each family is a base form and a residual surface: t = base · exp(r). The base is fitted by robust least squares
//! on the logarithm, the surface by regularised least squares, projected so that more work is never cheaper, and
//! rounded as it is written. Held-out errors are of that written form, base and surface fitted on the other rows.
//! A family's sigma is that of its held-out errors (their 90 % quantile over 1.645) with the versions' share in
//! quadrature. Families without a table stay as they were, and a profile fitted to this project's own tables names those that
//! it was fitted for. Leaves out: elementwise kernels and sampling of public tables, and the experts' all-to-all, which
//! are carried over.

mod attention;
mod base;
mod carry;
mod collective;
mod emit;
mod gemm;
mod linear;
mod memory;
mod moe;
mod prefill;
mod rows;
mod split;
mod surface;
mod sustained;
mod transfer;

use super::{Heads, Machine};
use crate::catalog::{self, CatalogError};
use crate::estimate::Tier;
use crate::measured::{Excluded, Header, Op, Table};
use crate::profile::{self, DeviceProfile, HeldOut, ProfileError, VerificationForm};
use crate::resolved::Precision;

pub use carry::Carry;
use split::{Errors, Fit};

/// Fewest rows that a family is fitted on.
const FEWEST: usize = 20;

/// Why there is no fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The device is not in the catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A profile cannot be read.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Tables or hand-written constants are of different devices.
    #[error("{name}: of device {found}, the first table is of {expected}")]
    Device {
        /// Which file.
        name: String,
        /// Its device.
        found: String,
        /// The first table's.
        expected: String,
    },
    /// Not enough rows.
    #[error("{family}: {rows} rows count, a fit needs {FEWEST}")]
    Few {
        /// Family.
        family: &'static str,
        /// Rows that are left.
        rows: usize,
    },
    /// Times in another unit.
    #[error("{name}: {wrong}: are its times in microseconds?")]
    Unit {
        /// Which file.
        name: String,
        /// What is impossible.
        wrong: String,
    },
    /// No tables.
    #[error("no tables")]
    NoTables,
}

/// A fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The profile.
    pub profile: DeviceProfile,
    /// Rows that were left out.
    pub excluded: Excluded,
    /// Operations of tables that nothing is fitted on.
    pub unused: Vec<Op>,
    /// Families that no table refitted: their constants and errors are those of the profile that there was.
    pub kept: Vec<String>,
}

impl Fitted {
    /// The profile as YAML.
    pub fn yaml(&self) -> String {
        emit::profile(&self.profile)
    }
}

/// Held-out errors by family, and those beyond the fitted ranges.
#[derive(Default)]
struct Report {
    lines: Vec<HeldOut>,
    /// Sigmas two octaves beyond, by family.
    beyond: Vec<f64>,
}

impl Report {
    /// Takes a family's errors; the first `inside` splits give its sigma, which is returned.
    fn take(&mut self, errors: &[Errors], inside: usize, version: f64) -> f64 {
        self.take_wider(errors, inside, version, []).0
    }

    /// The same with what rows of each of these splits get on top of the sigma, in forecasts and in the table's bands.
    fn take_wider<const N: usize>(
        &mut self,
        errors: &[Errors],
        inside: usize,
        version: f64,
        wider: [&str; N],
    ) -> (f64, [Option<f64>; N]) {
        let sigma = split::sigma(&errors[..inside.min(errors.len())]);
        let excess = wider.map(|split| split::excess(errors, split, sigma).map(thousandths));
        self.lines.extend(errors.iter().filter(|e| !e.logs.is_empty()).map(|e| {
            let more =
                wider.iter().zip(excess).find(|(split, _)| **split == e.split).and_then(|(_, more)| more);
            split::held_out(e, sigma.hypot(more.unwrap_or(0.0)))
        }));
        let far: Vec<&Errors> = errors.iter().filter(|e| e.split.starts_with("two octaves")).collect();
        if far.iter().any(|e| !e.logs.is_empty()) {
            let far = split::sigma(far);
            self.beyond.push(libm::sqrt((far * far - sigma * sigma).max(0.0)));
        }
        (thousandths(sigma.hypot(version)), excess)
    }
}

/// Whose figures a measured profile holds: the tables' and, for the families that they do not have, those there were.
fn source(header: &Header, before: &str) -> String {
    const OWN: &str = "measured: ";
    const OTHERS: &str = "; other families: ";
    let mut parts = vec![header.provider.clone()];
    parts.extend(header.versions.iter().map(|(name, version)| format!("{name} {version}")));
    // A profile that was measured before keeps the source of what is still not measured.
    let before = match before.split_once(OTHERS) {
        Some((first, rest)) if first.starts_with(OWN) => rest,
        _ => before,
    };
    format!("{OWN}{}{OTHERS}{before}", parts.join(", "))
}

/// What one and two octaves beyond add to a sigma; the second no less than the first.
fn octaves([one, two]: [Option<f64>; 2]) -> Option<[f64; 2]> {
    one.zip(two).map(|(one, two)| [one, two.max(one)])
}

fn thousandths(x: f64) -> f64 {
    libm::round(x * 1e3) / 1e3
}

/// Fits what the tables hold; the rest of the profile stays as it is (a stand-in's where the device has none).
pub fn fit(tables: Vec<Table>, carry: Option<&Carry>) -> Result<Fitted, FitError> {
    let first = tables.first().ok_or(FitError::NoTables)?;
    let id = first.header.device.clone();
    let own = |name: &str, found: &str| {
        if found == id {
            return Ok(());
        }
        Err(FitError::Device { name: name.to_owned(), found: found.to_owned(), expected: id.clone() })
    };
    tables.iter().try_for_each(|table| own(&table.name, &table.header.device))?;
    if let Some(carry) = carry {
        own("the hand-written constants", &carry.device)?;
    }
    let device = catalog::device(&id)?;
    let machine = Machine::of(&device);
    let mut profile = profile::device(&id)?.form;
    profile.device.clone_from(&id);
    let measured = tables.iter().all(|table| table.header.provider.starts_with("own"));
    let header = first.header.clone();
    if !measured {
        profile.tier = Tier::Published;
    }
    let mut version = carry::Versions { gemm: 0.06, attention: 0.06, moe: 0.07, collective: 0.05 };
    if let Some(carry) = carry {
        version = carry.version_sigma;
        profile.source.clone_from(&carry.source);
        profile.elementwise = carry.elementwise.clone();
        if let Some(linear) = &carry.linear_attention {
            profile.linear_attention = linear.clone();
        }
        profile.mamba = carry.mamba.clone();
        profile.sampling = carry.sampling.clone();
        profile.all_to_all = carry.all_to_all.clone();
        profile.moe.skew_alpha = carry.skew_alpha.clone();
        profile.moe.imbalance = carry.imbalance.clone();
        profile.attention_decode.verify_sigma = carry.verify_sigma;
    }
    let rows = rows::sort(tables, &machine, &profile.moe.skew_alpha, &profile.moe.imbalance)?;
    let mut report = Report::default();
    fit_gemm(&rows, machine, carry, version.gemm, &mut profile, &mut report)?;
    fit_attention(&rows, machine, version.attention, &mut profile, &mut report)?;
    fit_linear(&rows, machine, version.attention, &mut profile, &mut report)?;
    fit_moe(&rows, machine, version.moe, &mut profile, &mut report)?;
    fit_memory(&rows, machine, version.gemm, &mut profile, &mut report)?;
    profile.measured = if measured { rows.families() } else { Vec::new() };
    if !profile.measured.is_empty() {
        // Tables of which no row counts make nothing measured.
        profile.tier = Tier::Measured;
        profile.source = source(&header, &profile.source);
    }
    fit_collectives(&rows, version.collective, &mut profile, &mut report);
    let refitted = |line: &HeldOut| report.lines.iter().any(|new| new.family == line.family);
    let mut kept: Vec<HeldOut> = profile.held_out.iter().filter(|line| !refitted(line)).cloned().collect();
    if !report.beyond.is_empty() {
        let found = thousandths(usual_excess(&report.beyond));
        // A fit of some families says nothing of the others' errors.
        profile.extrapolation_sigma =
            if kept.is_empty() { found } else { found.max(profile.extrapolation_sigma) };
    }
    let mut families: Vec<String> = kept.iter().map(|line| line.family.clone()).collect();
    families.dedup();
    kept.splice(0..0, report.lines);
    profile.held_out = kept;
    Ok(Fitted { profile, excluded: rows.excluded, unused: rows.unused, kept: families })
}

/// Root mean square of the families' excess outside their ranges. One beyond a factor of two is left out: a form that does
/// not extrapolate at all says nothing of what others do.
fn usual_excess(families: &[f64]) -> f64 {
    let counted = || families.iter().filter(|excess| **excess <= core::f64::consts::LN_2);
    let squares: f64 = counted().map(|excess| excess * excess).sum();
    libm::sqrt(squares / counted().count().max(1) as f64)
}

/// The profile of one device from another's, and its errors on the device's own tables where there are any.
pub fn transfer(from: &str, to: &str, tables: Vec<Table>) -> Result<Fitted, FitError> {
    if let Some(table) = tables.iter().find(|table| table.header.device != to) {
        let found = table.header.device.clone();
        return Err(FitError::Device { name: table.name.clone(), found, expected: to.to_owned() });
    }
    let (source, target) = (catalog::device(from)?, catalog::device(to)?);
    let mut profile = transfer::transfer(profile::device(from)?.form, &source, &target);
    let machine = Machine::of(&target);
    let rows = rows::sort(tables, &machine, &profile.moe.skew_alpha, &profile.moe.imbalance)?;
    for errors in transfer::errors(&profile, machine, &rows) {
        let sigma = match errors.family {
            "gemm bf16" => profile.gemm.bf16.sigma,
            "gemm fp8" => profile.gemm.fp8.sigma,
            "attention_decode" => profile.attention_decode.sigma,
            "attention_prefill" => profile.attention_prefill.sigma,
            "moe bf16" => profile.moe.bf16.sigma,
            _ => profile.moe.fp8.sigma,
        };
        profile.held_out.push(split::held_out(&errors, sigma));
    }
    Ok(Fitted { profile, excluded: rows.excluded, unused: rows.unused, kept: Vec::new() })
}

/// Fits one family to all of its rows.
fn whole<F: Fit>(family: &F, name: &'static str, rows: &[F::Row]) -> Result<F::Form, FitError> {
    if rows.len() < FEWEST {
        return Err(FitError::Few { family: name, rows: rows.len() });
    }
    family.fit(&rows.iter().collect::<Vec<_>>()).ok_or(FitError::Few { family: name, rows: rows.len() })
}

fn fit_gemm(
    rows: &rows::Rows,
    machine: Machine,
    carry: Option<&Carry>,
    version: f64,
    profile: &mut DeviceProfile,
    report: &mut Report,
) -> Result<(), FitError> {
    let names = ["gemm bf16", "gemm fp8"];
    for (i, weights) in [Precision::Bf16, Precision::Fp8].into_iter().enumerate() {
        let place = if i == 0 { &mut profile.gemm.bf16 } else { &mut profile.gemm.fp8 };
        let carried = carry.and_then(|c| c.sustained.as_ref());
        let carried = carried.and_then(|s| if i == 0 { s.bf16.clone() } else { s.fp8.clone() });
        let before = carried.or_else(|| place.sustained.take());
        place.sustained.clone_from(&before);
        if rows.gemm[i].is_empty() {
            continue;
        }
        let family = gemm::Family { machine, weights };
        let mut form = whole(&family, names[i], &rows.gemm[i])?;
        let mut errors = gemm::held_out(&family, &rows.gemm[i], names[i]);
        form.sustained = before;
        if !rows.sustained[i].is_empty() {
            form.sustained = sustained::fit(&family, &form, &rows.sustained[i]);
            errors.push(sustained::held_out(&family, &form, &rows.sustained[i], names[i]));
        }
        let ([m1, m2], [w1, w2]) = (gemm::BEYOND_M, gemm::BEYOND_WEIGHTS);
        let wider = [m1, m2, w1, w2, gemm::BETWEEN_M, sustained::SPLIT];
        let (sigma, [m1, m2, w1, w2, between, lasting]) = report.take_wider(&errors, 2, version, wider);
        (form.sigma, form.beyond_m, form.beyond_weights) = (sigma, octaves([m1, m2]), octaves([w1, w2]));
        form.between_m = between;
        if let Some(sustained) = form.sustained.as_mut().filter(|_| lasting.is_some()) {
            sustained.spread = lasting;
        }
        *place = form;
    }
    Ok(())
}

fn fit_attention(
    rows: &rows::Rows,
    machine: Machine,
    version: f64,
    profile: &mut DeviceProfile,
    report: &mut Report,
) -> Result<(), FitError> {
    if !rows.decode.is_empty() {
        let family = attention::Family::new(machine, profile.attention_decode.verify_sigma, Heads::Grouped);
        let mut form = whole(&family, "attention_decode", &rows.decode)?;
        let errors = attention::held_out(&family, &rows.decode, &rows.decode_hot);
        let (sigma, beyond) = report.take_wider(&errors, 4, version, attention::BEYOND);
        (form.sigma, form.beyond_context) = (sigma, octaves(beyond));
        if rows.verify() >= FEWEST {
            form.verify_sigma =
                report.take(&[attention::held_out_queries(&family, &rows.decode)], 1, version);
        }
        profile.attention_decode = form;
    }
    if !rows.latent.is_empty() {
        let family = attention::Family::new(machine, profile.attention_decode.verify_sigma, Heads::Latent);
        let mut form = whole(&family, "attention_latent", &rows.latent)?;
        let errors = attention::held_out(&family, &rows.latent, &rows.latent_hot);
        let (sigma, beyond) = report.take_wider(&errors, 4, version, attention::BEYOND);
        (form.sigma, form.beyond_context) = (sigma, octaves(beyond));
        profile.attention_latent = Some(form);
    }
    if !rows.prefill.is_empty() {
        let memory_efficiency = profile.attention_decode.memory_efficiency;
        let family = prefill::Family { machine, memory_efficiency };
        let mut form = whole(&family, "attention_prefill", &rows.prefill)?;
        form.sigma = report.take(&prefill::held_out(&family, &rows.prefill), 4, version);
        profile.attention_prefill = form;
    }
    Ok(())
}

/// Its sigma is that of decode and verify steps, as attention's is. The convolution is a small part and has no error of its own.
fn fit_linear(
    rows: &rows::Rows,
    machine: Machine,
    version: f64,
    profile: &mut DeviceProfile,
    report: &mut Report,
) -> Result<(), FitError> {
    let name = "linear_attention";
    let [decode, prefill] =
        [linear::Part::Decode, linear::Part::Prefill].map(|p| linear::of(&rows.linear, p));
    let form = &mut profile.linear_attention;
    if !decode.is_empty() {
        let family = linear::Decode { machine };
        form.decode = whole(&family, name, &decode)?;
        form.sigma = report.take(&linear::held_out_decode(&family, &decode), 4, version);
    }
    if !prefill.is_empty() {
        let family = linear::Prefill { machine };
        form.prefill = whole(&family, name, &prefill)?;
        report.take(&linear::held_out_prefill(&family, &prefill), 3, version);
    }
    let moved = |part| -> Vec<memory::Row> {
        linear::of(&rows.linear, part).iter().filter_map(linear::Row::moved).collect()
    };
    let [steps, prompts] = [linear::Part::Convolution, linear::Part::PromptConvolution].map(moved);
    if !(steps.is_empty() || prompts.is_empty()) {
        let family = memory::Family { machine };
        form.convolution =
            linear::convolution(whole(&family, name, &steps)?, whole(&family, name, &prompts)?);
    }
    Ok(())
}

fn fit_memory(
    rows: &rows::Rows,
    machine: Machine,
    version: f64,
    profile: &mut DeviceProfile,
    report: &mut Report,
) -> Result<(), FitError> {
    let family = memory::Family { machine };
    if !rows.elementwise.is_empty() {
        let line = whole(&family, "elementwise", &rows.elementwise)?;
        let form = &mut profile.elementwise;
        (form.t0_us, form.memory_efficiency) = (line.t0_us, line.efficiency);
        form.sigma = report.take(&memory::held_out(&family, &rows.elementwise, "elementwise"), 2, version);
    }
    if !rows.sampling.is_empty() {
        let line = whole(&family, "sampling", &rows.sampling)?;
        let form = &mut profile.sampling;
        (form.t0_us, form.memory_efficiency, form.passes) = (line.t0_us, line.efficiency, 1.0);
        form.sigma = report.take(&memory::held_out(&family, &rows.sampling, "sampling"), 2, version);
    }
    if !rows.verification.is_empty() {
        let line = whole(&family, "verification", &rows.verification)?;
        let form = &mut profile.sampling;
        form.verification = Some(VerificationForm { t0_us: line.t0_us, memory_efficiency: line.efficiency });
        let errors = memory::held_out(&family, &rows.verification, "verification");
        form.sigma = report.take(&errors, 2, version).max(form.sigma);
    }
    Ok(())
}

fn fit_moe(
    rows: &rows::Rows,
    machine: Machine,
    version: f64,
    profile: &mut DeviceProfile,
    report: &mut Report,
) -> Result<(), FitError> {
    let names = ["moe bf16", "moe fp8"];
    let alpha = &profile.moe.skew_alpha;
    for (i, weights) in [Precision::Bf16, Precision::Fp8].into_iter().enumerate() {
        if rows.moe[i].is_empty() {
            continue;
        }
        let family = moe::Family {
            machine,
            weights,
            overload: profile.moe.imbalance.clone(),
            skews: [alpha.balanced, alpha.pl101, alpha.pl12],
        };
        let mut form = whole(&family, names[i], &rows.moe[i])?.form;
        let errors = moe::held_out(&family, &rows.moe[i], names[i]);
        let [one, two] = moe::BEYOND;
        let (sigma, [one, two, layout, shape]) =
            report.take_wider(&errors, 2, version, [one, two, moe::UNSEEN_LAYOUT, moe::UNSEEN_SHAPE]);
        (form.sigma, form.beyond_tokens) = (sigma, octaves([one, two]));
        (form.unseen_layout, form.unseen_shape) = (layout, shape);
        *(if i == 0 { &mut profile.moe.bf16 } else { &mut profile.moe.fp8 }) = form;
    }
    Ok(())
}

/// Collectives share a sigma, which all of their held-out sizes give.
fn fit_collectives(rows: &rows::Rows, version: f64, profile: &mut DeviceProfile, report: &mut Report) {
    let form = &mut profile.all_reduce;
    let ops = [
        ("all_reduce", &rows.all_reduce, &mut form.tables),
        ("all_gather", &rows.all_gather, &mut form.all_gather),
        ("reduce_scatter", &rows.reduce_scatter, &mut form.reduce_scatter),
    ];
    let (mut unseen, mut beyond) = (Vec::new(), Vec::new());
    for (name, rows, tables) in ops {
        if rows.is_empty() {
            continue;
        }
        *tables = collective::tables(rows);
        let mut errors = collective::held_out(name, tables);
        // What all-reduce alone shows: the others' tables end where its do not.
        beyond.extend(errors.split_off(1).into_iter().filter(|e| e.family == "all_reduce"));
        unseen.extend(errors);
    }
    if let Some(extra) = collective::eager_extra(&rows.all_reduce, &form.tables) {
        form.eager_extra_us = extra;
    }
    if !unseen.is_empty() {
        let inside = unseen.len();
        unseen.extend(beyond);
        form.sigma = report.take(&unseen, inside, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_that_does_not_extrapolate_does_not_widen_the_others() {
        assert!((usual_excess(&[0.1, 0.2, 0.2]) - libm::sqrt(0.03)).abs() < 1e-12);
        assert!((usual_excess(&[0.1, 1.5, 0.2]) - libm::sqrt(0.025)).abs() < 1e-12);
    }
    use crate::measured::{Clocks, L2, VERSION};

    #[test]
    fn a_measured_profile_names_its_tables_and_what_it_still_owes_to_others() {
        let header = |version: &str| Header {
            rollcast_measured: VERSION,
            device: "h200-sxm".to_owned(),
            driver: None,
            versions: [("cublaslt".to_owned(), version.to_owned())].into(),
            provider: "own: kernels".to_owned(),
            l2: L2::Cold,
            clocks: Clocks::Burst,
            op: Op::Gemm,
            axes: std::collections::BTreeMap::new(),
        };
        let first = source(&header("13.0"), "public tables");
        assert_eq!(first, "measured: own: kernels, cublaslt 13.0; other families: public tables");
        let again = source(&header("13.1"), &first);
        assert_eq!(again, "measured: own: kernels, cublaslt 13.1; other families: public tables");
    }
}
