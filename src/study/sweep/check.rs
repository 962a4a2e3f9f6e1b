//! Every value of every axis, tried before anything runs.
//!
//! A value that no point can run with is a mistake, told once with its place. A value that is fine at some point and not
//! in every combination is no mistake: the combination becomes a row with its reason. So a check tries points until
//! each value has been good once, which for a sound sweep is about as many points as the longest axis has values.

use super::points::Point;
use super::{Axis, Entry, Sweep, SweepErrors};
use crate::resolve::{ResolveError, resolve};
use crate::scenario::{Document, Error};

/// Points that one value is tried at; a value that was bad at all of these is bad.
const TRIES: u32 = 200;

/// What is known of one value.
#[derive(Debug, Clone, Default)]
struct Seen {
    good: bool,
    tries: u32,
    first: Option<Error>,
}

impl Sweep {
    /// Tries each value of each axis at some point.
    pub fn check(&self) -> Result<(), SweepErrors> {
        if self.base().has("step") {
            let message = "this scenario is of one engine step, which is no point of a sweep";
            return Err(SweepErrors(vec![self.base().error_at("step", message, None)]));
        }
        let mut seen: Vec<Vec<Seen>> =
            self.axes.iter().map(|axis| vec![Seen::default(); axis.entries.len().max(1)]).collect();
        for index in 0..self.len() {
            let numbers: Vec<usize> = self.entry_numbers(index).iter().map(|n| n.unwrap_or(0)).collect();
            let open = numbers.iter().zip(&seen).any(|(i, axis)| !axis[*i].good && axis[*i].tries < TRIES);
            if !open {
                continue;
            }
            let Some(point) = self.point(index) else { continue };
            let result = try_point(self.base(), &point);
            for (i, axis) in numbers.iter().zip(&mut seen) {
                let value = &mut axis[*i];
                value.tries += 1;
                match &result {
                    Ok(()) => value.good = true,
                    Err(error) => _ = value.first.get_or_insert_with(|| error.clone()),
                }
            }
        }
        let bad = || {
            let of_axis = |(axis, values): (&'_ Axis, &'_ Vec<Seen>)| {
                let entries = axis.entries.iter().map(Some).chain(std::iter::repeat(None));
                values.iter().cloned().zip(entries.map(Option::<&Entry>::cloned)).collect::<Vec<_>>()
            };
            self.axes.iter().zip(&seen).flat_map(of_axis).filter(|(value, _)| !value.good && value.tries > 0)
        };
        // A mistake on one axis spoils every point, so each value is also tried alone: it is told with what is wrong with
        // itself. One that is fine alone is told only where no mistake of another explains its points.
        let mut errors: Vec<Error> = Vec::new();
        let mut tell = |error: Error| {
            if !errors.contains(&error) {
                errors.push(error);
            }
        };
        for (_, entry) in bad() {
            if let Some(entry) = entry
                && let Err(error) = try_point(self.base(), &Point { index: 0, entries: vec![entry] })
            {
                tell(error);
            }
        }
        bad().filter_map(|(value, _)| value.first).for_each(&mut tell);
        if errors.is_empty() { Ok(()) } else { Err(SweepErrors(errors)) }
    }
}

/// Whether a point is well written; whether its memory suffices is for its row to say.
fn try_point(base: &Document, point: &Point) -> Result<(), Error> {
    let document = point.document(base)?;
    let mut sides = vec![document.clone(), document.baseline()?];
    sides.extend(document.candidates()?);
    for side in &sides {
        if let Err(ResolveError::Input(error)) = resolve(side) {
            return Err(error);
        }
    }
    Ok(())
}
