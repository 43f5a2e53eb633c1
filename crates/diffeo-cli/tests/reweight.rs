//! `diffeo reweight` as a process.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{at, column, folder, folder_with_model, run_in, write_table};

/// Settings that take a second or two.
const QUICK: &str = "--model maf --steps 60 --folds 2 --threads 2 --seed 1 --json --quiet";

/// Writes rows whose mean is `shift`, with an outcome `2 x + noise`.
fn write_population(path: &Path, rows: usize, seed: u64, shift: f64) {
    write_table(path, rows, seed);
    let text = fs::read_to_string(path).expect("readable");
    let mut out = String::from("x,group,y\n");
    for line in text.lines().skip(1) {
        let v: Vec<f64> = line.split(',').map(|v| v.parse().expect("a number")).collect();
        let group = if v[1] > 0.1 { "high" } else { "low" };
        out.push_str(&format!("{},{group},{}\n", v[0] + shift, 2.0 * (v[0] + shift) + v[1]));
    }
    fs::write(path, out).expect("written");
}

fn average(found: &Value, by: &str) -> [f64; 3] {
    let estimates = found["outcome"]["estimates"].as_array().expect("a list");
    let one = estimates.iter().find(|e| e["by"] == by).unwrap_or_else(|| panic!("{by}: {found}"));
    ["mean", "low", "high"].map(|key| one[key].as_f64().expect("a number"))
}

#[test]
fn rows_of_one_population_stand_for_another() {
    let folder = folder();
    write_population(&at(&folder, "a.csv"), 900, 5, 0.0);
    write_population(&at(&folder, "b.csv"), 700, 6, 0.5);
    let line = format!("reweight --from a.csv --to b.csv --outcome y --out w.csv {QUICK}");
    let found = run_in(folder.path(), &line).expect(0, &[]).json();
    let truth = average(&found, "observed")[0];
    let plain = average(&found, "unweighted")[0];
    assert!(truth - plain > 0.8, "{found}");
    for (by, off) in [("weights and regression", 0.15), ("weights", 0.3), ("classifier", 0.3)] {
        let [mean, low, high] = average(&found, by);
        assert!((mean - truth).abs() < off && low < mean && mean < high, "{by}: {found}");
    }
    assert_eq!((&found["rows"], &found["rows_to"]), (&900.into(), &700.into()));
    let written = fs::read_to_string(at(&folder, "w.csv")).expect("written");
    assert!(written.starts_with("x,group,y,weight\n"), "{}", &written[..60]);
    let weights: Vec<f64> =
        column(&written, "weight").iter().map(|w| w.parse().expect("a number")).collect();
    assert!(weights.len() == 900 && weights.iter().all(|w| *w > 0.0));
    let mean = weights.iter().sum::<f64>() / 900.0;
    assert!((mean - 1.0).abs() < 0.2, "{mean}");
    // The same on any number of threads, and bounded where that was asked for.
    let one = line.replace("--threads 2", "--threads 1 --force");
    assert_eq!(run_in(folder.path(), &one).expect(0, &[]).json()["outcome"], found["outcome"]);
    let bounded = format!("{line} --force --relative 0.5");
    run_in(folder.path(), &bounded).expect(0, &[]);
    let told = run_in(folder.path(), &bounded.replace("--json", "")).expect(0, &[]).stdout;
    assert!(told.contains("lie between the two populations"), "{told}");
    let written = fs::read_to_string(at(&folder, "w.csv")).expect("written");
    let weights = column(&written, "weight");
    assert!(weights.iter().all(|w| w.parse::<f64>().expect("a number") <= 2.0));
}

#[test]
fn two_samples_of_one_population_have_weights_of_one() {
    let folder = folder();
    write_population(&at(&folder, "a.csv"), 900, 7, 0.0);
    write_population(&at(&folder, "b.csv"), 900, 8, 0.0);
    let line = format!("reweight --from a.csv --to b.csv --exclude y --out w.csv {QUICK}");
    let found = run_in(folder.path(), &line).expect(0, &[]).json();
    assert!(found["effective_size"].as_f64().expect("a number") > 0.97 * 900.0, "{found}");
    assert_eq!(found["reliable"], true, "{found}");
}

#[test]
fn models_weigh_any_rows_and_say_when_these_are_of_another_population() {
    let folder = folder_with_model();
    let same = "reweight --from m.safetensors --to m.safetensors train.csv --out w.csv --json";
    let found = run_in(folder.path(), same).expect(0, &[]).json();
    assert!((found["effective_size"].as_f64().expect("a number") - 400.0).abs() < 1e-6, "{found}");
    let weights = column(&fs::read_to_string(at(&folder, "w.csv")).expect("written"), "weight");
    assert!(weights.iter().all(|w| w.parse::<f64>() == Ok(1.0)), "{weights:?}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_any_work() {
    let folder = folder_with_model();
    write_table(&at(&folder, "b.csv"), 100, 2);
    for (line, code, texts) in [
        ("--from train.csv --to m.safetensors --out w.csv", 2, vec!["both models or both tables"]),
        ("--from train.csv --to b.csv", 2, vec!["nothing to do", "--out", "--outcome"]),
        (
            "--from train.csv --to b.csv b.csv --out w.csv",
            2,
            vec!["DATA is the table to weight with two models"],
        ),
        ("--from m.safetensors --to m.safetensors --out w.csv", 2, vec!["DATA is missing"]),
        (
            "--from m.safetensors --to m.safetensors b.csv --folds 3 --out w.csv",
            2,
            vec!["--folds is about two tables"],
        ),
        (
            "--from train.csv --to b.csv --relative 1 --out w.txt",
            2,
            vec!["--relative", "--out: expected a name"],
        ),
        ("--from train.csv --to b.csv --outcome z", 3, vec!["\"z\""]),
        (
            "--from train.csv --to b.csv --out train.csv --force",
            5,
            vec!["the output is also an input"],
        ),
        ("--from train.csv --to none.csv --out w.csv", 5, vec!["none.csv"]),
        ("--from - --to b.csv --out w.csv", 2, vec!["read once only"]),
    ] {
        run_in(folder.path(), &format!("reweight {line}")).expect(code, &texts);
        assert!(!at(&folder, "w.csv").exists(), "{line}");
    }
    fs::write(at(&folder, "few.csv"), "a,b,c\n1,2,3\n2,3,5\n").expect("written");
    run_in(folder.path(), "reweight --from train.csv --to few.csv --out w.csv --seed 0")
        .expect(3, &["second population", "at least 10 rows for 5 folds, found 2"]);
    fs::write(at(&folder, "other.csv"), "d\n1\n2\n").expect("written");
    run_in(folder.path(), "reweight --from train.csv --to other.csv --out w.csv --seed 0")
        .expect(3, &["no column in common"]);
}
