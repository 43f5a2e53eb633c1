//! Posteriors as a process: fitted to simulations, checked given each observation, and truncated for the next round.

mod support;

use std::fs;
use std::path::Path;

use support::{at, column, folder, run_in, write_table};

const FIT: &str = "--columns p=(-8,8) --context x --model nsf --transforms 2 --hidden 24 --steps 2000 --seed 1 --threads 2 --quiet";

/// Draws of a parameter and an observation `x = p + noise / 2` of each.
fn write_simulations(path: &Path, rows: usize, seed: u64) {
    write_table(path, rows, seed);
    let text = fs::read_to_string(path).expect("readable");
    let mut out = String::from("p,x\n");
    for line in text.lines().skip(1) {
        let v: Vec<f64> = line.split(',').map(|v| v.parse().expect("a number")).collect();
        out.push_str(&format!("{},{}\n", v[0], v[0] + 0.5 * v[1]));
    }
    fs::write(path, out).expect("written");
}

#[test]
fn a_posterior_is_calibrated_drawn_and_truncated() {
    let folder = folder();
    write_simulations(&at(&folder, "simulations.csv"), 3000, 5);
    write_simulations(&at(&folder, "more.csv"), 2000, 6);
    fs::write(at(&folder, "observed.csv"), "x\n0.7\n").expect("written");
    let run = |line: &str| run_in(folder.path(), line);
    run(&format!("fit simulations.csv --out m.safetensors {FIT}")).expect(0, &[]);

    let checked = run("check m.safetensors more.csv --json --quiet");
    let found: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let checks = found["checks"].as_array().expect("a list");
    for name in ["sbc:p", "tarp", "local_calibration"] {
        let one = checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{found}"));
        assert_eq!(one["passed"], true, "{one}");
    }
    run("plot m.safetensors more.csv --kind calibration --out ranks.svg --quiet").expect(0, &[]);
    let drawn = fs::read_to_string(at(&folder, "ranks.svg")).expect("written");
    assert!(drawn.contains("<svg"));

    let line = "truncate m.safetensors more.csv --context observed.csv --out next.csv --json";
    let found = run(line).expect(0, &[]).json();
    let kept = column(&fs::read_to_string(at(&folder, "next.csv")).expect("written"), "p");
    assert_eq!(found["kept"], kept.len());
    assert_eq!(found["rows"], 2000);
    // Those near the observation, and whole rows of the table.
    let kept: Vec<f64> = kept.iter().map(|p| p.parse().expect("a number")).collect();
    assert!((50..2000).contains(&kept.len()), "{found}");
    assert!(kept.iter().all(|p| (p - 0.7).abs() < 4.0), "{kept:?}");
    let narrow = run(&format!("{line} --force --mass 0.5")).expect(0, &[]).json();
    assert!(narrow["kept"].as_u64() < found["kept"].as_u64(), "{narrow}");
}

#[test]
fn what_truncate_cannot_do_is_said() {
    let folder = folder();
    write_simulations(&at(&folder, "s.csv"), 400, 5);
    fs::write(at(&folder, "two.csv"), "x\n0.7\n0.8\n").expect("written");
    let run = |line: &str| run_in(folder.path(), line);
    run(&format!("fit s.csv --out m.safetensors {}", FIT.replace("--steps 2000", "--steps 5")))
        .expect(0, &[]);
    run("truncate m.safetensors s.csv").expect(2, &["conditional on \"x\"", "--context"]);
    run("truncate m.safetensors s.csv --context two.csv").expect(3, &["one row", "found 2"]);
    run("truncate m.safetensors s.csv --context two.csv --mass 1.5").expect(2, &["--mass", "1.5"]);
    fs::write(at(&folder, "one.csv"), "x\n0.7\n").expect("written");
    run("truncate m.safetensors two.csv --context one.csv").expect(3, &["\"p\""]);
}
