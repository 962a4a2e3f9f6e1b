//! How old the weights of trained samples are: a bar a side for each number of RL steps.

use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};
use super::{BASELINE, FORECAST, Size};
use crate::result::RunResult;

pub(in crate::report) fn staleness(result: &RunResult, size: Size) -> String {
    let sides = [(BASELINE, &result.baseline), (FORECAST, &result.forecast)];
    let shares = sides.map(|(series, arm)| (series, &arm.loop_stats.staleness_shares));
    let lags = shares.iter().map(|(_, shares)| shares.len()).max().unwrap_or(0).max(1);
    let most = shares.iter().flat_map(|(_, shares)| shares.iter().copied()).fold(0.01, f64::max);
    let height = size.pick(220.0, 200.0);
    let ticks = (0..lags).map(|lag| (lag as f64, lag.to_string())).collect();
    let percent = [0.25, 0.5, 0.75, 1.0].into_iter().filter(|share| *share <= most * 1.1);
    let percent =
        std::iter::once(0.0).chain(percent).map(|share| (share, format!("{:.0} %", 100.0 * share))).collect();
    let x = Scale::with_ticks(-0.5, lags as f64 - 0.5, ticks);
    let frame = Frame::fitted(size, height, x, Scale::with_ticks(0.0, most * 1.05, percent));
    let description =
        "Share of trained samples by the number of RL steps that their weights lag, both sides.";
    picture(size.width(), height, "Staleness", description, |pen| {
        frame.draw(pen, "RL steps that the weights of a sample lag", "trained samples");
        for (place, (series, shares)) in shares.iter().enumerate() {
            for (lag, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let left = lag as f64 - 0.3 + 0.3 * place as f64;
                let corners = (frame.at(left + 0.01, *share), frame.at(left + 0.29, 0.0));
                pen.rectangle(corners.0, corners.1, Paint::Series(*series), 1.0);
            }
        }
    })
}
