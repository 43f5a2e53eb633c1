//! The program: files in, files out.

use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diffeo-sql"));
    command.current_dir(folder).arg("query").args(arguments).output().unwrap()
}

#[test]
fn results_go_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("t.csv"), "a,b\n1,x\n2,\"y;z\"\n").unwrap();
    let ask = |sql: &str, more: &[&str]| {
        let done = run(folder.path(), &[&[sql, "--table", "t=t.csv"], more].concat());
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let shown = ask("SELECT 'a;b' AS c; SELECT b FROM t WHERE a = 2 -- a comment; with one", &[]);
    assert!(shown.contains("y;z") && !shown.contains("a;b"), "{shown}");
    assert!(ask("SELECT a FROM t WHERE a > 9", &[]).contains("| a |"));
    ask("SELECT a FROM t WHERE a > 9", &["--out", "none.csv"]);
    assert_eq!(std::fs::read_to_string(at("none.csv")).unwrap(), "a\n");
    ask("COPY (SELECT * FROM t) TO 'my copy/' STORED AS PARQUET", &[]);
    let again = run(folder.path(), &["SELECT count(*) AS n FROM c", "--table", "c=my copy"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("| 2 |"));
    for (more, reason) in [
        (["--out", "t.csv"], "would replace the table t"),
        (["--out", "nowhere/x.csv"], "there is no folder nowhere"),
        (["--out", "x.txt"], ".parquet or .csv"),
        (["--partitions", "0"], "at least 1"),
    ] {
        let done =
            run(folder.path(), &[&["SELECT a FROM t", "--table", "t=t.csv"], &more[..]].concat());
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && message.contains(reason), "{message}");
    }
    assert_eq!(std::fs::read_to_string(at("t.csv")).unwrap().lines().count(), 3);
}
