//! A sweep's files: journals that are read, locked and appended to, and the table that is made of them.
//!
//! Of a row only the place in its journal is kept in memory. A line goes to the system in one write as soon as its point
//! is done, so a kill loses no finished point. The journal itself is locked, as long as the process lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::{OutputOptions, Shard};
use crate::study::sweep::journal::{self, Header};
use crate::study::sweep::{Row, Sweep};

/// Journals of one directory.
const MOST_JOURNALS: usize = 10_000;

/// Rows on disk.
#[derive(Debug)]
pub(in crate::cli) struct Store {
    header: Header,
    /// The first one is appended to.
    journals: Vec<(PathBuf, File)>,
    /// Journal and byte at which each point's line begins.
    places: Vec<Option<(u32, u64)>>,
    /// Bytes of the journal that is appended to.
    length: u64,
}

impl Store {
    /// Opens or begins the journal of a sweep or a shard; without a shard, takes in the journals of all shards.
    pub(super) fn open(
        directory: &Path,
        sweep: &Sweep,
        shard: Option<Shard>,
        command: String,
        output: OutputOptions,
    ) -> Result<Self, CliError> {
        let name = format!("{}.journal", Shard::stem(shard));
        let own = directory.join(&name);
        let header = Header { command: Some(command), ..Header::of(sweep) };
        let mut store = Store::begun(directory, &name, header, output)?;
        if shard.is_none() {
            for path in others(directory, &own) {
                store.take_in(&path, output)?;
            }
        }
        Ok(store)
    }

    /// Opens or begins one journal whose rows belong to a header.
    pub(in crate::cli) fn begun(
        directory: &Path,
        name: &str,
        header: Header,
        output: OutputOptions,
    ) -> Result<Self, CliError> {
        fs::create_dir_all(directory)
            .map_err(|source| CliError::Write { path: directory.to_owned(), source })?;
        let places = vec![None; usize::try_from(header.points).unwrap_or(usize::MAX)];
        let mut store = Store { header, journals: Vec::new(), places, length: 0 };
        store.begin(&directory.join(name), output)?;
        Ok(store)
    }

    /// All rows that are there, in order of index.
    pub(in crate::cli) fn rows(&self) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.each(|row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The journal that is appended to.
    pub(in crate::cli) fn path(&self) -> &Path {
        self.journals.first().map_or(Path::new(""), |(path, _)| path)
    }

    pub(super) fn has(&self, index: u64) -> bool {
        self.places.get(index as usize).is_some_and(Option::is_some)
    }

    /// Opens the own journal: read, cut after its last whole line, or begun.
    fn begin(&mut self, path: &Path, output: OutputOptions) -> Result<(), CliError> {
        let failed = |source| CliError::Write { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed)?;
        let good = self.read(path, &file, output)?;
        let mut file = file;
        if file.metadata().map_err(failed)?.len() > good {
            file.set_len(good).map_err(failed)?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        self.length = good;
        self.journals.push((path.to_owned(), file));
        if good == 0 {
            let line = self.header.line()?;
            self.write(&line).map_err(failed)?;
        }
        Ok(())
    }

    /// Reads a shard's journal that is there already.
    fn take_in(&mut self, path: &Path, output: OutputOptions) -> Result<(), CliError> {
        let file = File::open(path)
            .map_err(|error| CliError::Journal { path: path.to_owned(), source: error.into() })?;
        self.read(path, &file, output)?;
        self.journals.push((path.to_owned(), file));
        Ok(())
    }

    /// Locks and reads a journal; the bytes of its whole lines.
    fn read(&mut self, path: &Path, file: &File, output: OutputOptions) -> Result<u64, CliError> {
        let wrong = |source| CliError::Journal { path: path.to_owned(), source };
        if !file.metadata().map_err(|error| wrong(error.into()))?.is_file() {
            return Err(wrong(io::Error::other("is no regular file").into()));
        }
        if !locked(file) {
            return Err(CliError::Busy { path: path.to_owned() });
        }
        let number = self.journals.len() as u32;
        let contents = journal::read(BufReader::new(file), |header, row, at| {
            if header.hash == self.header.hash
                && let Some(place @ None) = self.places.get_mut(row.index as usize)
            {
                *place = Some((number, at));
            }
        });
        let contents = contents.map_err(wrong)?;
        if let Some(header) = &contents.header {
            self.header.same_as(header).map_err(wrong)?;
        }
        if contents.broken_end {
            let message = format!("{}: its last line was broken off and is dropped", path.display());
            super::super::note(output, &message);
        }
        Ok(contents.good_bytes)
    }

    /// Adds a row: one write, no buffer.
    pub(in crate::cli) fn append(&mut self, row: &Row) -> io::Result<()> {
        let at = self.length;
        self.write(&row.line())?;
        if let Some(place) = self.places.get_mut(row.index as usize) {
            *place = Some((0, at));
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let Some((_, file)) = self.journals.first_mut() else { return Ok(()) };
        if let Err(error) = file.write_all(line.as_bytes()) {
            // Half a line may be there: it goes, so that the journal stays whole. The next start would drop it anyway.
            let _ = file.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Waits until the rows are on the disk.
    pub(in crate::cli) fn sync(&self) -> Result<(), CliError> {
        let Some((path, file)) = self.journals.first() else { return Ok(()) };
        file.sync_all().map_err(|source| CliError::Write { path: path.clone(), source })
    }

    /// All rows in order of index, as CSV.
    pub(super) fn write_table(
        &self,
        columns: &[String],
        out: &mut BufWriter<File>,
        mut each: impl FnMut(&Row),
    ) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(std::iter::once("index").chain(columns.iter().map(String::as_str)))?;
        self.each(|row| {
            table.write_record(std::iter::once(row.index.to_string()).chain(row.cells.iter().cloned()))?;
            each(&row);
            Ok(())
        })?;
        table.flush()
    }

    /// Reads all rows in order of index.
    fn each(&self, mut each: impl FnMut(Row) -> io::Result<()>) -> io::Result<()> {
        let mut readers: Vec<BufReader<&File>> =
            self.journals.iter().map(|(_, file)| BufReader::new(file)).collect();
        let mut line = String::new();
        for (journal, at) in self.places.iter().flatten() {
            let Some(reader) = readers.get_mut(*journal as usize) else { continue };
            reader.seek(SeekFrom::Start(*at))?;
            line.clear();
            reader.read_line(&mut line)?;
            let lost = || io::Error::other("a row is not in the journal any more: somebody else changed it");
            let row = journal::row(&line, &self.header).ok_or_else(lost)?;
            each(row)?;
        }
        Ok(())
    }

    /// The same as Parquet.
    #[cfg(feature = "parquet")]
    pub(super) fn write_parquet(&self, columns: &[String], out: &mut BufWriter<File>) -> io::Result<()> {
        let mut kinds = super::parquet::Kinds::new(columns.len());
        self.each(|row| {
            kinds.see(&row);
            Ok(())
        })?;
        let mut table = super::parquet::Table::new(out, columns, kinds)?;
        self.each(|row| table.add(row))?;
        table.finish()
    }
}

/// Other journals of the directory, in order of name.
fn others(directory: &Path, own: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path != own && is_journal(path))
        .take(MOST_JOURNALS)
        .collect();
    found.sort();
    found
}

/// Whether a file is called as a sweep's journal is.
pub(in crate::cli) fn is_journal(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("sweep.") && name.ends_with(".journal")
}

#[cfg(unix)]
fn locked(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Elsewhere two processes in one directory are not told from one.
#[cfg(not(unix))]
fn locked(_: &File) -> bool {
    true
}
