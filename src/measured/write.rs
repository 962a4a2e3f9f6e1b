//! Writes a table in the project's format; what is written reads back the same.

use std::fmt::Write as _;

use super::{Clocks, L2, Table};

/// The text of a table.
pub fn write(table: &Table) -> String {
    let header = &table.header;
    let mut text = format!("---\nrollcast_measured: {}\n", header.rollcast_measured);
    // Writing into a string cannot fail.
    let _ = writeln!(text, "device: {}", quoted(&header.device));
    if let Some(driver) = &header.driver {
        let _ = writeln!(text, "driver: {}", quoted(driver));
    }
    if !header.versions.is_empty() {
        text.push_str("versions:\n");
        for (name, version) in &header.versions {
            let _ = writeln!(text, "  {}: {}", quoted(name), quoted(version));
        }
    }
    let l2 = match header.l2 {
        L2::Cold => "cold",
        L2::Hot => "hot",
        L2::Mixed => "mixed",
    };
    let clocks = match header.clocks {
        Clocks::Burst => "burst",
        Clocks::Sustained => "sustained",
        Clocks::Locked => "locked",
    };
    let _ = writeln!(text, "provider: {}\nl2: {l2}\nclocks: {clocks}", quoted(&header.provider));
    let _ = writeln!(text, "op: {}", header.op.name());
    let axes: Vec<String> = header.op.axes().iter().map(|(axis, unit)| format!("{axis}: {unit}")).collect();
    let _ = writeln!(text, "axes: {{ {} }}\n---", axes.join(", "));
    let columns: Vec<&str> = header
        .op
        .labels()
        .iter()
        .copied()
        .chain(header.op.axes().iter().map(|(axis, _)| *axis))
        .chain(["median_us", "p10_us", "p90_us", "low_us", "high_us", "samples", "flag"])
        .collect();
    let _ = writeln!(text, "{}", columns.join(","));
    for row in &table.rows {
        for label in &row.labels {
            text.push_str(&field(label));
            text.push(',');
        }
        for value in &row.axes {
            let _ = write!(text, "{value},");
        }
        let _ = write!(text, "{}", row.timing.median);
        for pair in [row.timing.spread, row.timing.interval] {
            match pair {
                Some([low, high]) => {
                    let _ = write!(text, ",{low},{high}");
                }
                None => text.push_str(",,"),
            }
        }
        text.push(',');
        if let Some(samples) = row.timing.samples {
            let _ = write!(text, "{samples}");
        }
        let _ = writeln!(text, ",{}", u8::from(row.flagged));
    }
    text
}

/// A YAML text in double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}

/// A CSV field.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::measured::{Header, Op, Row, Timing, VERSION, read_text};

    #[test]
    fn what_is_written_reads_back() {
        for op in Op::ALL {
            let header = Header {
                rollcast_measured: VERSION,
                device: "h200-sxm".into(),
                driver: Some("570 \"beta\"".into()),
                versions: BTreeMap::from([("cuda".into(), "12.9".into())]),
                provider: "own: kernels".into(),
                l2: L2::Cold,
                clocks: Clocks::Sustained,
                op,
                axes: op.axes().iter().map(|(a, u)| ((*a).into(), (*u).into())).collect(),
            };
            let row = |line, spread, flagged| Row {
                line,
                labels: op.labels().iter().map(|label| format!("a, {label}")).collect(),
                axes: (1..=op.axes().len()).map(|x| x as f64 * 1.5).collect(),
                timing: Timing { median: 12.25, spread, interval: spread, samples: Some(20) },
                flagged,
            };
            let table = Table { name: "t.csv".into(), header, rows: vec![] };
            let mut first = table.clone();
            first.rows = vec![row(1, Some([12.0, 13.0]), false), row(1, None, true)];
            let text = write(&first);
            let lines = text.lines().count() as u32;
            first.rows[0].line = lines - 1;
            first.rows[1].line = lines;
            let read = read_text("t.csv", &text).unwrap_or_else(|error| panic!("{op:?}: {error}\n{text}"));
            assert_eq!(read, vec![first]);
        }
    }
}
