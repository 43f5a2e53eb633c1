//! A scheduler and two executors on this machine, one of which is killed in the middle of a query.
#![cfg(feature = "cluster")]

mod setup;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Partitions of the table, and rows in each.
const FILES: usize = 12;
const ROWS: usize = 20_000;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn diffeo_sql(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diffeo-sql"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn start(arguments: &[&str], log: &Path) -> Process {
    let log = std::fs::File::create(log).unwrap();
    Process(diffeo_sql(arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

/// Ports that nobody listens at.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn wait_for(port: u16) {
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody listens at {port}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn query(sql: &str, table: &str, out: &Path, more: &[&str]) -> Command {
    let out = out.to_str().unwrap();
    let mut command = diffeo_sql(&["query", sql, "--table", table, "--out", out]);
    command.args(more);
    command
}

/// Writes the table `t`, a file for each partition.
fn write_table(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let columns = "value AS id, sin(value * 0.37) AS a, 2 * sin(value * 0.37) + 0.3 * cos(value * 1.93) AS b, sin(value * 0.37) * cos(value * 1.93) AS c";
    for part in 0..FILES {
        let (from, to) = (part * ROWS, (part + 1) * ROWS - 1);
        let sql = format!("SELECT {columns} FROM generate_series({from}, {to})");
        let out = folder.join(format!("{part}.parquet"));
        let made = diffeo_sql(&["query", &sql, "--out", out.to_str().unwrap()]).status();
        assert!(made.unwrap().success());
    }
}

/// Starts an executor that works in a folder.
fn start_executor(scheduler: &str, ports: [u16; 2], work: &Path) -> Process {
    std::fs::create_dir(work).unwrap();
    let [port, grpc] = ports.map(|port| port.to_string());
    let at = ["executor", "--scheduler", scheduler, "--port", &port, "--grpc-port", &grpc];
    let how = ["--cores", "1", "--work", work.to_str().unwrap()];
    let process = start(&[&at[..], &how].concat(), &work.with_extension("log"));
    wait_for(ports[0]);
    process
}

#[test]
fn a_killed_executor_costs_time_and_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, _) = setup::model(folder.path());
    write_table(&at("t"));
    let table = format!("t={}", at("t").display());
    let score = format!("diffeo_log_prob('{}', a, b, c)", model.display());
    let sql = format!("SELECT id, {score} AS score FROM t ORDER BY id");
    assert!(query(&sql, &table, &at("alone.csv"), &[]).status().unwrap().success());

    let [scheduler, a, b, c, d] = ports();
    let listen = format!("127.0.0.1:{scheduler}");
    let log = at("scheduler.log");
    let _scheduler = start(&["scheduler", "--bind", &listen, "--executor-timeout", "6"], &log);
    wait_for(scheduler);
    let _stays = start_executor(&listen, [a, b], &at("stays"));
    let goes = start_executor(&listen, [c, d], &at("goes"));
    let url = format!("df://localhost:{scheduler}");
    let more = ["--cluster", &url, "--partitions", "12"];
    let started = Instant::now();
    let mut running = Process(query(&sql, &table, &at("cluster.csv"), &more).spawn().unwrap());
    // Its first results are there, and more are to come.
    let has_begun = || walk(&at("goes")) > 0;
    while !has_begun() && running.0.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(120), "the query does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(has_begun() && running.0.try_wait().unwrap().is_none(), "the query was too short");
    drop(goes);
    let ended = loop {
        if let Some(ended) = running.0.try_wait().unwrap() {
            break ended;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "the query does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(ended.success(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    println!("{} rows after {:.1} s", FILES * ROWS, started.elapsed().as_secs_f64());
    let [alone, cluster] =
        ["alone.csv", "cluster.csv"].map(|name| std::fs::read(at(name)).unwrap());
    assert!(alone == cluster, "the rows of the cluster are others");
}

/// Files in a folder and those in it.
fn walk(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |path: std::path::PathBuf| if path.is_dir() { walk(&path) } else { 1 };
    entries.flatten().map(|entry| of(entry.path())).sum()
}
