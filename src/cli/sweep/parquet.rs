//! A sweep's table as Parquet, for those who read tables with programs: the rows of the CSV, with types.
//!
//! `index` is a whole number. A column in which every cell that is filled reads as a number is of doubles, every other one of
//! text; an empty cell is a null. Rows are written in groups, so memory does not grow with their number. Neither compressed nor
//! through Arrow, which would bring many more crates.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::study::sweep::Row;

/// Rows that are held at once.
const GROUP: usize = 16_384;

/// Whether a cell reads as a number.
fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Finds out, row by row, which columns are numbers.
#[derive(Debug, Clone)]
pub(super) struct Kinds(Vec<bool>);

impl Kinds {
    /// For so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Kinds(vec![true; columns])
    }

    /// Takes a row into account.
    pub(super) fn see(&mut self, row: &Row) {
        for (kind, cell) in self.0.iter_mut().zip(&row.cells) {
            *kind &= cell.is_empty() || number(cell).is_some();
        }
    }
}

/// A table that is being written.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    kinds: Kinds,
    rows: Vec<Row>,
}

impl<W: Write + Send> Table<W> {
    /// With the columns of a sweep, `index` before them.
    pub(super) fn new(out: W, columns: &[String], kinds: Kinds) -> io::Result<Self> {
        let field = |name: &str, number: bool| {
            let (physical, logical) = if number {
                (Physical::DOUBLE, None)
            } else {
                (Physical::BYTE_ARRAY, Some(LogicalType::String))
            };
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
        };
        let index = Type::primitive_type_builder("index", Physical::INT64)
            .with_repetition(Repetition::REQUIRED)
            .build();
        let fields: Result<Vec<Arc<Type>>, ParquetError> = std::iter::once(index)
            .chain(columns.iter().zip(&kinds.0).map(|(name, number)| field(name, *number)))
            .map(|built| built.map(Arc::new))
            .collect();
        let schema = fields
            .and_then(|fields| Type::group_type_builder("sweep").with_fields(fields).build())
            .map_err(io::Error::other)?;
        let properties = Arc::new(WriterProperties::builder().build());
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), properties).map_err(io::Error::other)?;
        Ok(Table { writer, kinds, rows: Vec::new() })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: Row) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() == GROUP { self.flush().map_err(io::Error::other) } else { Ok(()) }
    }

    /// Writes what is held, and the end of the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush().and_then(|()| self.writer.close()).map_err(io::Error::other).map(drop)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            let index: Vec<i64> = rows.iter().map(|row| row.index.cast_signed()).collect();
            column.typed::<Int64Type>().write_batch(&index, None, None)?;
            column.close()?;
        }
        for (place, number) in self.kinds.0.iter().enumerate() {
            let Some(column) = group.next_column()? else { break };
            let cells = rows.iter().map(|row| row.cells.get(place).map_or("", String::as_str));
            write(column, cells, *number)?;
        }
        group.close().map(drop)
    }
}

/// One column of a group.
fn write<'a>(
    mut column: SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a str> + Clone,
    numbers: bool,
) -> Result<(), ParquetError> {
    let there: Vec<i16> = cells.clone().map(|cell| i16::from(!cell.is_empty())).collect();
    if numbers {
        let values: Vec<f64> = cells.filter_map(number).collect();
        column.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
    } else {
        let texts: Vec<ByteArray> = cells.filter(|cell| !cell.is_empty()).map(ByteArray::from).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&there), None)?;
    }
    column.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn rows_come_back_with_their_types() -> Result<(), Box<dyn std::error::Error>> {
        let columns = ["gpus", "model", "step_s", "error"].map(str::to_owned);
        let row = |index: u64, cells: [&str; 4]| Row { index, cells: cells.map(str::to_owned).to_vec() };
        let mut rows = vec![row(0, ["2", "qwen3-8b", "1.5", ""]), row(1, ["4", "", "", "too large"])];
        rows.extend((2..40_000).map(|index| row(index, ["8", "m", "0.1", ""])));
        let mut kinds = Kinds::new(4);
        rows.iter().for_each(|row| kinds.see(row));
        assert_eq!(kinds.0, [true, false, true, false]);
        let mut file = tempfile::tempfile()?;
        let mut table = Table::new(&mut file, &columns, kinds)?;
        rows.iter().cloned().try_for_each(|row| table.add(row))?;
        table.finish()?;
        let reader = SerializedFileReader::new(file)?;
        assert_eq!(reader.num_row_groups(), 3);
        let texts: Vec<String> =
            reader.get_row_iter(None)?.map(|row| row.map(|row| row.to_string())).collect::<Result<_, _>>()?;
        assert_eq!(texts.len(), 40_000);
        assert_eq!(texts[0], "{index: 0, gpus: 2.0, model: \"qwen3-8b\", step_s: 1.5, error: null}");
        assert_eq!(texts[1], "{index: 1, gpus: 4.0, model: null, step_s: null, error: \"too large\"}");
        assert_eq!(texts[39_999], "{index: 39999, gpus: 8.0, model: \"m\", step_s: 0.1, error: null}");
        Ok(())
    }
}
