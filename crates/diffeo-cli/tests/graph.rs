//! `fit --graph`: what is known of who influences whom, from a file to a model.

mod support;

use std::fs;

use support::{TINY, at, column, run_in, weights};
use tempfile::TempDir;

/// Numbers of a standard normal, near enough: sums of twelve that look random.
fn normal(i: usize, stream: usize) -> f64 {
    let uniform = |k: usize| {
        let mut bits = ((i * 128 + stream * 12 + k) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..12).map(uniform).sum::<f64>() - 6.0
}

/// A folder with `t.csv`: `a -> b -> c` and `lone`, a category `town`, and `edges.txt`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| {
        let [a, b, c, lone] = [0, 1, 2, 3].map(|stream| normal(i, stream));
        let (b, town) = (2.0 * a + 0.5 * b, ["Ulm", "Bonn"][i % 2]);
        format!("{c_},{a},{b},{lone},{town}\n", c_ = b - 0.3 * b * b + 0.2 * c)
    };
    let rows: String = (0..400).map(row).collect();
    fs::write(at(&folder, "t.csv"), format!("c,a,b,lone,town\n{rows}")).unwrap();
    fs::write(at(&folder, "edges.txt"), "# a chain\na -> b\n\"b\" -> c\n").unwrap();
    folder
}

/// What is scored, row after row.
fn scores(folder: &TempDir, table: &str) -> Vec<f64> {
    let ran = run_in(folder.path(), &format!("score m.safetensors {table} --quiet")).expect(0, &[]);
    column(&ran.stdout, "log_prob").iter().map(|score| score.parse().unwrap()).collect()
}

#[test]
fn a_graph_goes_through_fit_score_and_sample_and_leaves_its_zeros() {
    let folder = folder();
    let line = format!(
        "fit t.csv --columns c,a,b,lone --graph edges.txt --seed 1 --out m.safetensors {TINY}"
    );
    let ran = run_in(folder.path(), &line.replace("--quiet", ""));
    ran.expect(0, &["graph of 2 edges between 4 columns, 3 deep", "independent", "\"lone\""]);
    let all = scores(&folder, "t.csv");
    assert!(all.len() == 400 && all.iter().all(|score| score.is_finite()));
    let sample =
        run_in(folder.path(), "sample m.safetensors -n 50 --seed 3 --quiet").expect(0, &[]);
    fs::write(at(&folder, "s.csv"), &sample.stdout).unwrap();
    assert!(scores(&folder, "s.csv").iter().all(|score| score.is_finite()));
    // `lone` is independent: what it adds to a score is the same beside any other columns.
    let row = |a: f64, lone: f64| format!("{},{a},{},{lone}\n", 0.5 * a, 2.0 * a);
    let rows = [row(0.1, 0.3), row(0.1, -1.2), row(-1.4, 0.3), row(-1.4, -1.2)].concat();
    fs::write(at(&folder, "p.csv"), format!("c,a,b,lone\n{rows}")).unwrap();
    let p = scores(&folder, "p.csv");
    assert!(((p[0] - p[1]) - (p[2] - p[3])).abs() < 1e-5, "{p:?}");
    assert!((p[0] - p[1]).abs() > 1e-3, "{p:?}");
    // The same in JSON is the same model.
    fs::write(at(&folder, "edges.json"), "{\"c\": [\"b\"], \"b\": [\"a\"]}").unwrap();
    let line = line.replace("edges.txt", "edges.json").replace("m.safe", "n.safe");
    run_in(folder.path(), &line).expect(0, &[]);
    let [m, n] = ["m", "n"].map(|name| weights(&at(&folder, &format!("{name}.safetensors"))));
    assert_eq!(m, n);
}

#[test]
fn every_model_that_takes_a_graph_fits_and_categories_stay_beside_it() {
    let folder = folder();
    for (model, context) in [("nsf", ""), ("maf", "--context lone"), ("bernstein", ""), ("sos", "")]
    {
        let columns = if context.is_empty() { "c,a,b,town" } else { "c,a,b" };
        let options = TINY.replace("--model maf", &format!("--model {model} --bins 4"));
        let line = format!(
            "fit t.csv --columns {columns} {context} --graph edges.txt --seed 1 --force --out m.safetensors {options}"
        );
        run_in(folder.path(), &line).expect(0, &[]);
        assert!(scores(&folder, "t.csv").iter().all(|score| score.is_finite()), "{model}");
    }
}

#[test]
fn a_fit_of_a_graph_goes_on_and_not_with_another_graph() {
    let folder = folder();
    let line = |graph: &str, more: &str| {
        let line = format!("fit t.csv --columns c,a,b --graph {graph} --seed 1 {TINY} {more}");
        run_in(folder.path(), &line.replace("--steps 30", "--steps 60"))
    };
    line("edges.txt", "--out whole.safetensors").expect(0, &[]);
    let broken = "--out m.safetensors --checkpoint-every 1 --max-time 0.001s";
    line("edges.txt", broken).expect(0, &[]);
    fs::write(at(&folder, "other.txt"), "a -> b\nc -> b\n").unwrap();
    line("other.txt", "--out m.safetensors --resume").expect(2, &["checkpoint"]);
    line("edges.txt", "--out m.safetensors --resume").expect(0, &[]);
    let [m, n] = ["m", "whole"].map(|name| weights(&at(&folder, &format!("{name}.safetensors"))));
    assert_eq!(m, n);
}

#[test]
fn what_is_wrong_with_a_graph_is_told() {
    let folder = folder();
    let fit = |edges: &str, more: &str| {
        fs::write(at(&folder, "g.txt"), edges).unwrap();
        let line = format!("fit t.csv --graph g.txt --out m.safetensors --quiet --steps 1 {more}");
        run_in(folder.path(), &line)
    };
    let numbers = "--columns c,a,b,lone";
    let cycle = "expected a graph without cycles, found \"a\" -> \"b\" -> \"c\" -> \"a\"";
    fit("a -> b\nb -> c\nc -> a\n", numbers).expect(2, &["g.txt", cycle]);
    fit("a -> lonely\n", numbers).expect(2, &["line 1", "\"lonely\"", "did you mean \"lone\"?"]);
    fit("a -> zzzzzz\n", numbers)
        .expect(2, &["columns of numbers are \"c\", \"a\", \"b\", \"lone\""]);
    fit("a -> town\n", "").expect(2, &["\"town\" is category", "take its edges out"]);
    fit("lone -> a\n", "--columns c,a,b --context lone").expect(2, &["column of the context"]);
    fit("a -> b\na -> a\n", numbers).expect(2, &["line 2", "its own parent"]);
    fit("a -> b\na -> b\n", numbers).expect(2, &["line 2", "twice", "line 1"]);
    fit("a b\n", numbers).expect(2, &["line 1", "expected an edge such as parent -> child"]);
    fit("a -> b\n", "--model realnvp").expect(2, &["realnvp: takes no graph; use one of maf, nsf"]);
    fit("a -> b\n", "--order random").expect(2, &["leave --order out"]);
    fit("a -> b\n", "--any-subset").expect(2, &["--any-subset", "--graph forbids"]);
    fit("a -> b\nb -> c\nb -> lone\na -> lone\n", &format!("{numbers} --hidden 2"))
        .expect(2, &["3 units at least"]);
    let line = "fit t.csv --graph nothing.txt --out m.safetensors";
    run_in(folder.path(), line).expect(5, &["nothing.txt"]);
}

/// Six columns in a chain, each 0.8 of the one before and noise of 0.6: `log p = sum_i log N(x_i; 0.8 x_{i-1}, 0.36)`.
#[test]
fn with_the_true_graph_of_a_chain_the_likelihood_is_near_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str, rows: std::ops::Range<usize>| {
        let row = |i: usize| {
            let mut at = [0.0; 6];
            at[0] = normal(i, 0);
            (1..6).for_each(|j| at[j] = 0.8 * at[j - 1] + 0.6 * normal(i, j));
            at
        };
        let mut truth = 0.0;
        let mut text = "f,b,d,a,c,e\n".to_owned();
        let n = rows.len() as f64;
        for [a, b, c, d, e, f] in rows.map(row) {
            text.push_str(&format!("{f},{b},{d},{a},{c},{e}\n"));
            let chain = [a, b, c, d, e, f];
            let half_ln_2pi = 0.5 * std::f64::consts::TAU.ln();
            truth -= half_ln_2pi + 0.5 * a * a;
            for pair in chain.windows(2) {
                let z = (pair[1] - 0.8 * pair[0]) / 0.6;
                truth -= half_ln_2pi + 0.6f64.ln() + 0.5 * z * z;
            }
        }
        fs::write(at(&folder, name), text).unwrap();
        truth / n
    };
    table("train.csv", 0..4000);
    let truth = table("test.csv", 4000..8000);
    let fitted = |edges: &str| {
        fs::write(at(&folder, "edges.txt"), edges).unwrap();
        let line = "fit train.csv --graph edges.txt --model maf --transforms 1 --seed 1 --force --out m.safetensors --quiet";
        run_in(folder.path(), line).expect(0, &[]);
        let found = run_in(folder.path(), "evaluate m.safetensors test.csv --json").expect(0, &[]);
        found.json()["log_prob_mean"].as_f64().unwrap()
    };
    let found = fitted("a -> b\nb -> c\nc -> d\nd -> e\ne -> f\n");
    assert!((found - truth).abs() < 0.02, "{found} against {truth}");
    // What `c` tells of `d`, `-ln(1 - 0.64) / 2` nats, is lost without its edge.
    let found = fitted("a -> b\nb -> c\nd -> e\ne -> f\n");
    let truth = truth + 0.5 * 0.36f64.ln();
    assert!((found - truth).abs() < 0.04, "{found} against {truth}");
}

#[test]
fn a_graph_is_learned_told_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| {
        let [a, b, c, lone] = [0, 1, 2, 3].map(|stream| normal(i, stream));
        let b = 1.2 * a + b;
        format!("{},{a},{b},{lone}\n", c - 0.9 * b)
    };
    let rows: String = (0..600).map(row).collect();
    fs::write(at(&folder, "t.csv"), format!("c,a,b,lone\n{rows}")).unwrap();
    let fit = |graph: &str, out: &str| {
        let line = format!("fit t.csv --graph {graph} --seed 1 --out {out}.safetensors {TINY}");
        run_in(folder.path(), &line.replace("--quiet", ""))
    };
    // Gates are slopes, of 1.2 and 0.9.
    let told = [
        "graph of 4 columns",
        "found 2 edges",
        "\"a\" -> \"b\"  # gate 1.2",
        "\"b\" -> \"c\"  # gate 0.9",
        "\"lone\"",
    ];
    fit("learn=equal", "m").expect(0, &told);
    fs::write(at(&folder, "edges.txt"), "a -> b\nb -> c\n").unwrap();
    fit("edges.txt", "n").expect(0, &[]);
    let [m, n] = ["m", "n"].map(|name| weights(&at(&folder, &format!("{name}.safetensors"))));
    assert_eq!(m, n, "the edges of a file are the same model");
    fit("./learn", "o").expect(5, &["learn"]);
    let shape = TINY.replace("maf", "gnf");
    let line = format!("fit t.csv --seed 1 --out g.safetensors {shape}");
    let ran = run_in(folder.path(), &line.replace("--quiet", ""));
    ran.expect(0, &["searching for a graph of 4 columns", "edges"]);
    let with = |more: &str| run_in(folder.path(), &format!("{line} --force {more}"));
    with("--graph edges.txt").expect(0, &[]);
    with("--order random").expect(2, &["order"]);
}
