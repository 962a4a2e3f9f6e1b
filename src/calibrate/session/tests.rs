//! Whole runs that do not go well: what was measured until then is there, and what does not count says so.

use std::collections::BTreeMap;

use super::*;
use crate::calibrate::launch::{LaunchError, Program};
use crate::measured::{self, Excluded, Reason};

/// Keeps what it is given, and how often.
#[derive(Default)]
struct Kept {
    log: String,
    files: BTreeMap<String, (String, usize)>,
}

impl Sink for Kept {
    fn line(&mut self, line: &str) {
        self.log.push_str(line);
        self.log.push('\n');
    }

    fn file(&mut self, name: &str, text: &str) {
        let (kept, times) = self.files.entry(name.to_owned()).or_default();
        text.clone_into(kept);
        *times += 1;
    }
}

impl Kept {
    fn text(&self, name: &str) -> &str {
        self.files.get(name).map_or("", |(text, _)| text)
    }

    fn rows(&self, name: &str) -> usize {
        let table = measured::read_text(name, self.text(name)).unwrap_or_default();
        table.iter().map(|table| table.rows.len()).sum()
    }
}

fn options(families: &[Family]) -> Options {
    Options { budget_s: 540.0, seed: 2, families: families.to_vec(), checks: Effort::Small }
}

fn with(fake: Fake, families: &[Family]) -> (Report, Kept) {
    let mut kept = Kept::default();
    let report = run(&mut Rehearsal(fake), &options(families), &mut kept);
    (report, kept)
}

#[test]
fn a_device_that_breaks_leaves_the_tables_measured_so_far() {
    let error = BenchError::Call { call: "cuStreamSynchronize", message: "an illegal address".to_owned() };
    let families = [Family::Verify, Family::Step];
    // At the first work, among the points, among the steps, in the repeats.
    let points = plan::points(&Protocol::default(), &families).len();
    for (at, some, steps) in
        [(0, false, false), (60, true, false), (points + 40, true, true), (points + 75, true, true)]
    {
        let fake = Fake { fails_at: Some((at, error.clone())), ..Fake::new(3) };
        let (report, kept) = with(fake, &families);
        assert_eq!(report.broken.as_ref(), Some(&error), "{at}");
        assert!(
            kept.log.contains("BROKEN: ") && report.screen.starts_with("BROKEN"),
            "{at}: {}",
            report.screen
        );
        let rows = kept.rows("attention_decode.csv");
        assert_eq!(rows > 0, some, "{at}: {rows}");
        assert!(rows <= at, "{at}: {rows}");
        assert_eq!(kept.text("steps.csv").lines().count() > 2, steps, "{at}");
        let summary: serde_json::Value = serde_json::from_str(kept.text("run.json")).unwrap_or_default();
        assert_eq!(summary["broken"], "cuStreamSynchronize: an illegal address");
        assert!(!kept.text("correctness.json").is_empty());
    }
}

#[test]
fn a_refused_work_is_left_out_with_its_reason_and_the_run_goes_on() {
    let why = BenchError::Unsupported("cublasLtMatmul: not supported".to_owned());
    let (whole, all) = with(Fake::new(3), &[Family::Gemm]);
    let fake = Fake { fails_at: Some((70, why)), ..Fake::new(3) };
    let (report, kept) = with(fake, &[Family::Gemm]);
    assert_eq!((report.broken, whole.broken), (None, None));
    assert!(kept.log.contains("refused: gemm bf16") && kept.log.contains("not supported"));
    assert_eq!(kept.rows("gemm.csv") + 1, all.rows("gemm.csv"));
    assert!(kept.text("run.json").contains("cublasLtMatmul: not supported"));
}

#[test]
fn tables_are_given_out_while_the_run_goes_on() {
    let (_, kept) = with(Fake::new(3), &[Family::Verify, Family::Step]);
    let times = |name: &str| kept.files.get(name).map_or(0, |(_, times)| *times);
    assert!(times("attention_decode.csv") > 5, "{}", times("attention_decode.csv"));
    assert_eq!(times("steps.csv"), plan::steps().len());
    assert_eq!(times("run.json"), 1);
}

/// A device whose kernels do not run, and that may refuse all work.
struct Wrong(Fake, bool);

impl Bench for Wrong {
    fn now_s(&self) -> f64 {
        self.0.now_s()
    }

    fn open(&mut self, work: &Work) -> Result<Opened, BenchError> {
        if self.1 {
            return Err(BenchError::Unsupported("no graph".to_owned()));
        }
        self.0.open(work)
    }

    fn open_hot(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.0.open_hot(work)
    }

    fn replay_s(&mut self) -> Result<f64, BenchError> {
        self.0.replay_s()
    }

    fn sm_mhz(&mut self) -> Result<Option<f64>, BenchError> {
        self.0.sm_mhz()
    }
}

impl Launcher for Wrong {
    fn run(&mut self, _: &Program, _: &mut [Vec<u8>], _: Option<&str>) -> Result<(), LaunchError> {
        Err(LaunchError { kernel: "every kernel".to_owned(), message: "does not run".to_owned() })
    }
}

impl Device for Wrong {
    fn provenance(&self) -> Provenance {
        Rehearsal::new(0).provenance()
    }

    fn launcher(&mut self) -> Option<&mut dyn Launcher> {
        Some(self)
    }
}

#[test]
fn where_a_check_fails_no_row_counts() {
    let mut kept = Kept::default();
    let report = run(&mut Wrong(Fake::new(3), false), &options(&[Family::Verify]), &mut kept);
    assert!(!report.correct && report.broken.is_none());
    assert!(report.screen.contains("none counts"), "{}", report.screen);
    let tables = measured::read_text("attention_decode.csv", kept.text("attention_decode.csv"));
    let mut tables = tables.unwrap_or_else(|error| panic!("{error}"));
    let (mut excluded, rows) = (Excluded::default(), tables[0].rows.len());
    measured::screen(&mut tables[0], &mut excluded);
    assert_eq!((tables[0].rows.len(), excluded.0.get(&Reason::Flagged)), (0, Some(&rows)));
    // Where nothing could be checked, rows stand as they are.
    assert!(with(Fake::new(3), &[Family::Verify]).1.text("attention_decode.csv").contains(",0\n"));
}

#[test]
fn where_every_point_is_refused_the_run_has_failed() {
    let mut kept = Kept::default();
    let report = run(&mut Wrong(Fake::new(3), true), &options(&[Family::Verify]), &mut kept);
    let why = report.broken.map(|error| error.to_string()).unwrap_or_default();
    assert!(why.starts_with("no point was measured") && why.ends_with("no graph"), "{why}");
    assert!(kept.text("run.json").contains("no graph"));
}
