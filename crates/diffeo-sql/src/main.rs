//! `diffeo-sql`: SQL over files with models as functions, on this machine or on a cluster.

mod output;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;

/// SQL over Parquet and CSV files, with diffeo_log_prob(model, column, ...) and diffeo_sample(model, seed, row, ...).
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  diffeo-sql query \"SELECT id, diffeo_log_prob('m.safetensors', a, b) AS lp FROM t\" --table t=rows.parquet --out scored.parquet
  diffeo-sql scheduler & diffeo-sql executor & diffeo-sql query ... --cluster df://localhost:50050";

#[derive(Subcommand)]
enum Command {
    /// Run a query
    Query(Query),
    /// Hand out the tasks of a cluster
    #[cfg(feature = "cluster")]
    Scheduler {
        /// Address to listen at
        #[arg(long, default_value = "127.0.0.1:50050")]
        bind: std::net::SocketAddr,
        /// Seconds without a sign of life after which an executor counts as lost
        #[arg(long, default_value_t = 60)]
        executor_timeout: u64,
    },
    /// Work on the tasks of a cluster
    #[cfg(feature = "cluster")]
    Executor {
        /// The scheduler's host and port
        #[arg(long, default_value = "localhost:50050")]
        scheduler: String,
        /// Address to listen at, by which others reach this machine
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Port for results
        #[arg(long, default_value_t = 50051)]
        port: u16,
        /// Port for the scheduler
        #[arg(long, default_value_t = 50052)]
        grpc_port: u16,
        /// Tasks at once [default: as many as the machine has cores]
        #[arg(long)]
        cores: Option<usize>,
        /// Folder for results in between
        #[arg(long)]
        work: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Query {
    /// The query; several are separated by semicolons, of which the last one's result is shown
    sql: String,
    /// A table: NAME=FILE of Parquet or CSV, or a folder of Parquet files
    #[arg(long = "table", value_name = "NAME=PATH")]
    tables: Vec<String>,
    /// Write the result to a Parquet or CSV file instead of stdout
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Partitions that work side by side [default: as many as the machine has cores]
    #[arg(long)]
    partitions: Option<usize>,
    /// Run on the cluster of this scheduler, such as df://localhost:50050
    #[arg(long)]
    cluster: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(DataFusionError::IoError(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", error.strip_backtrace());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Query(query) => ask(&query).await,
        #[cfg(feature = "cluster")]
        Command::Scheduler { bind, executor_timeout } => {
            diffeo_sql::cluster::schedule(bind, executor_timeout).await.map_err(external)
        }
        #[cfg(feature = "cluster")]
        Command::Executor { scheduler, host, port, grpc_port, cores, work } => {
            let (name, at) = scheduler.rsplit_once(':').unwrap_or((&scheduler, "50050"));
            let at = at.parse().map_err(|_| {
                wrong(format!("--scheduler: expected HOST:PORT, found {scheduler}"))
            })?;
            let all = || std::thread::available_parallelism().map_or(1, usize::from);
            let cores = cores.unwrap_or_else(all);
            let scheduler = (name.to_owned(), at);
            let post = diffeo_sql::cluster::Post {
                scheduler,
                ports: [port, grpc_port],
                host,
                cores,
                work,
            };
            diffeo_sql::cluster::execute(post).await.map_err(external)
        }
    }
}

async fn ask(query: &Query) -> Result<()> {
    if let Some(out) = &query.out {
        output::Format::of(out)?;
        let inputs = query.tables.iter().filter_map(|table| table.split_once('='));
        if let Some((name, _)) = inputs.clone().find(|(_, path)| is_same(Path::new(path), out)) {
            return Err(wrong(format!("--out would replace the table {name}; name another file")));
        }
    }
    if query.partitions == Some(0) {
        return Err(wrong("--partitions: expected at least 1".to_owned()));
    }
    let session = session(query).await?;
    for table in &query.tables {
        let (name, path) = table
            .split_once('=')
            .ok_or_else(|| wrong(format!("--table: expected NAME=PATH, found {table}")))?;
        register(&session, name, path).await?;
    }
    let mut last = None;
    for statement in DFParser::parse_sql(&query.sql)? {
        if let Some(before) = last.take() {
            DataFrame::collect(before).await?;
        }
        let plan = session.state().statement_to_plan(statement).await?;
        last = Some(session.execute_logical_plan(plan).await?);
    }
    let frame = last.ok_or_else(|| wrong("there is no query".to_owned()))?;
    match &query.out {
        Some(out) => output::write(frame, out).await,
        None => output::show(frame).await,
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

async fn session(query: &Query) -> Result<SessionContext> {
    let Some(url) = &query.cluster else {
        let mut config = SessionConfig::new();
        if let Some(partitions) = query.partitions {
            config = config.with_target_partitions(partitions);
        }
        let session = SessionContext::new_with_config(config);
        diffeo_sql::register(&session);
        return Ok(session);
    };
    #[cfg(feature = "cluster")]
    return diffeo_sql::cluster::session(url, query.partitions).await;
    #[cfg(not(feature = "cluster"))]
    Err(wrong(format!(
        "--cluster {url}: this program was built without clusters; build it with --features cluster"
    )))
}

async fn register(session: &SessionContext, name: &str, path: &str) -> Result<()> {
    let at = Path::new(path);
    if !path.contains("://") && !at.exists() {
        return Err(wrong(format!("--table {name}: there is no {path}")));
    }
    match at.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
        true => session.register_csv(name, path, CsvReadOptions::new()).await,
        false => session.register_parquet(name, path, ParquetReadOptions::default()).await,
    }
}

fn wrong(text: String) -> DataFusionError {
    DataFusionError::Configuration(text)
}

#[cfg(feature = "cluster")]
fn external(error: ballista_core::error::BallistaError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
