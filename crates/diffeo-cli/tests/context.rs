//! Columns of context and the order of columns: cases E7 and B2.

mod support;

use std::fs;

use support::{TINY, at, column, folder, run_in};

#[test]
fn e7_context_columns_are_matched_by_name_however_they_are_swapped() {
    let folder = folder();
    let line =
        format!("fit train.csv --columns a --context b,c --seed 1 --out m.safetensors {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    let score = |name: &str, text: &str| {
        fs::write(at(&folder, name), text).expect("written");
        run_in(folder.path(), &format!("score m.safetensors {name} --quiet"))
    };
    let scores =
        |name: &str, text: &str| column(&score(name, text).expect(0, &[]).stdout, "log_prob");
    let as_fitted = scores("abc.csv", "a,b,c\n0.1,0.2,0.9\n0.3,-1.0,0.4\n");
    assert_eq!(as_fitted, scores("cba.csv", "c,b,a\n0.9,0.2,0.1\n0.4,-1.0,0.3\n"));
    assert_ne!(as_fitted, scores("acb.csv", "a,c,b\n0.1,0.2,0.9\n0.3,-1.0,0.4\n"));
    score("ab.csv", "a,b\n0.1,0.2\n").expect(3, &["\"c\""]);
    fs::write(at(&folder, "bc.csv"), "b,c\n0.2,0.9\n").expect("written");
    fs::write(at(&folder, "cb.csv"), "c,b\n0.9,0.2\n").expect("written");
    let sample = |name: &str| {
        let line = format!("sample m.safetensors --context {name} --repeats 3 --seed 1 --quiet");
        column(&run_in(folder.path(), &line).expect(0, &[]).stdout, "a")
    };
    assert_eq!(sample("bc.csv"), sample("cb.csv"));
}

#[test]
fn b2_the_order_of_columns_is_given_reverse_or_random() {
    let folder = folder();
    for order in ["given", "reverse", "random"] {
        let line = format!(
            "fit train.csv --columns a,b --model maf --order {order} --out {order}.safetensors {TINY}"
        );
        run_in(folder.path(), &line).expect(0, &[]);
    }
    run_in(folder.path(), &format!("fit train.csv --order sorted --out m.safetensors {TINY}"))
        .expect(2, &["--order", "given, reverse, random", "sorted"]);
}

#[test]
fn a_network_makes_a_few_numbers_of_the_context() {
    let folder = folder();
    let line = "fit train.csv --columns a --context b,c --embed 2 --embed-members 2 --seed 1";
    run_in(folder.path(), &format!("{line} --out m.safetensors {TINY}")).expect(0, &[]);
    let shown = run_in(folder.path(), "inspect m.safetensors").expect(0, &[]).stdout;
    assert!(shown.contains("embedding") && shown.contains("members=2"), "{shown}");
    // The order of members says nothing.
    let score = |name: &str, text: &str| {
        fs::write(at(&folder, name), text).expect("written");
        let line = format!("score m.safetensors {name} --quiet");
        column(&run_in(folder.path(), &line).expect(0, &[]).stdout, "log_prob")
    };
    let scores = score("swapped.csv", "a,b,c\n0.1,0.2,0.9\n0.1,0.9,0.2\n0.1,0.2,0.8\n");
    let [one, swapped, other] = [0, 1, 2].map(|i| scores[i].parse::<f64>().expect("a number"));
    assert!((one - swapped).abs() < 1e-5 && one != other, "{scores:?}");
    let refused = |options: &str, parts: &[&str]| {
        let line = format!("fit train.csv --columns a {options} --out n.safetensors {TINY}");
        run_in(folder.path(), &line).expect(2, parts);
    };
    refused("--embed 2", &["--embed", "--context"]);
    refused("--context b,c --embed-members 2", &["--embed-members", "--embed"]);
    refused("--context b,c --embed 0", &["--embed", "1 to"]);
    refused("--context b,c --embed 2 --embed-members 3", &["2 ", "3 members"]);
}
