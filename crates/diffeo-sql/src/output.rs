//! Where the result of a query goes.

use std::io::Write as _;
use std::path::Path;

use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::arrow::ArrowWriter;
use diffeo_table::NewFile;
use futures::StreamExt as _;

/// Rows that are shown.
const SHOWN: usize = 40;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
}

impl Format {
    /// By the end of a file's name.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        if !folder.is_dir() {
            let text = format!("--out: there is no folder {}", folder.display());
            return Err(DataFusionError::Configuration(text));
        }
        let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
        match end.as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            _ => Err(DataFusionError::Configuration(format!(
                "--out: expected a name that ends in .parquet or .csv, found {}",
                path.display()
            ))),
        }
    }
}

/// Where bytes go.
type Sink = Box<dyn std::io::Write + Send>;

enum Writer {
    Parquet(Box<ArrowWriter<Sink>>),
    Csv(Box<csv::Writer<Sink>>),
}

impl Writer {
    fn new(format: Format, file: Sink, schema: SchemaRef) -> Result<Self> {
        Ok(match format {
            Format::Parquet => Self::Parquet(Box::new(ArrowWriter::try_new(file, schema, None)?)),
            Format::Csv => Self::Csv(Box::new(csv::Writer::new(file))),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => Ok(writer.write(batch)?),
            Self::Csv(writer) => Ok(writer.write(batch)?),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Parquet(writer) => writer.close().map(drop).map_err(DataFusionError::from),
            Self::Csv(_) => Ok(()),
        }
    }
}

/// The folder that a file is to lie in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a result batch by batch; others see the file whole or not at all.
pub(crate) async fn write(frame: DataFrame, out: &Path) -> Result<()> {
    let failed = |error: diffeo::Error| DataFusionError::External(Box::new(error));
    let format = Format::of(out)?;
    let (file, sink) = NewFile::create(out).map_err(failed)?;
    let mut stream = frame.execute_stream().await?;
    let mut writer = Writer::new(format, sink, stream.schema())?;
    // A result without rows has columns, too.
    writer.write(&RecordBatch::new_empty(stream.schema()))?;
    while let Some(batch) = stream.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    file.publish().map_err(failed)
}

/// Shows the first rows of a result.
pub(crate) async fn show(frame: DataFrame) -> Result<()> {
    let mut stream = frame.execute_stream().await?;
    let (mut shown, mut rows, mut all) = (vec![RecordBatch::new_empty(stream.schema())], 0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        all += batch.num_rows();
        if rows < SHOWN {
            let part = batch.slice(0, batch.num_rows().min(SHOWN - rows));
            rows += part.num_rows();
            shown.push(part);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", pretty_format_batches(&shown)?)?;
    if all > rows {
        writeln!(out, "{rows} of {all} rows; --out writes all")?;
    }
    Ok(())
}
