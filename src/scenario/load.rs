//! Reads a scenario's file into text: one clear sentence for everything that is no scenario at all.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::yaml::{Error, Place};

/// Largest file, in bytes: a hundred times the longest scenario with a trace in it.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The text of a file.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    let name = path.display().to_string();
    let whole = Place::flag(&name);
    let failed = |error: std::io::Error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Error::new(message).at(&whole)
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::new("is a directory, expected a scenario file").at(&whole));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells too large from just right, also for what has no size, such as a pipe.
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::new("larger than 4 MiB, expected a scenario").at(&whole));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let byte = error.as_bytes()[good];
        let hint = if byte >= 0xfe { "it may be UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
        Error::new(format!("not UTF-8 text: found the byte 0x{byte:02x}"))
            .hint(hint)
            .at(&Place::file(&name, "").inside(line, column))
    })
}
