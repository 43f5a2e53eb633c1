//! Classes of rows as a process tells them.

mod support;

use std::fs;
use std::path::Path;

use support::{Ran, column, run_in};

const SMALL: &str =
    "--model maf --transforms 1 --hidden 8 --steps 200 --lr 0.01 --threads 1 --seed 1";

fn run(folder: &Path, line: &str) -> Ran {
    let ran = run_in(folder, line);
    eprintln!("{line}\n{}{}", ran.stderr, ran.stdout);
    ran
}

/// Lengths and widths of flowers of two kinds that hardly overlap, from meadows that say nothing, with and without their kind.
fn write_flowers(folder: &Path) {
    let row = |i: usize| {
        let kind = ["iris", "lily"][i % 2];
        let noise = |k: usize| ((i * 7919 + k * 104_729) % 1000) as f64 / 1000.0;
        let length = 2.0 + 3.0 * (i % 2) as f64 + noise(1) + noise(2);
        (kind, format!("{length},{},{}", 1.0 + noise(3) * length, 10 + i % 3))
    };
    let rows = |head: &str, with: bool| -> String {
        let line = |i| match (row(i), with) {
            ((kind, numbers), true) => format!("{kind},{numbers}\n"),
            ((_, numbers), false) => format!("{numbers}\n"),
        };
        std::iter::once(head.to_owned()).chain((0..600).map(line)).collect()
    };
    fs::write(folder.join("f.csv"), rows("kind,length,width,meadow\n", true)).expect("written");
    fs::write(folder.join("new.csv"), rows("length,width,meadow\n", false)).expect("written");
}

#[test]
fn flowers_are_told_by_bayes_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_flowers(folder);
    let fit = format!("fit f.csv --context kind,meadow --contrast 2 --out m.safetensors {SMALL}");
    run(folder, &fit).expect(0, &[]);
    let found =
        run(folder, "classify m.safetensors f.csv --out told.csv --json").expect(0, &[]).json();
    let accuracy = found["accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.97 && found["rows"] == 600 && found["rows_untold"] == 0, "{found}");
    assert_eq!(found["classes"], serde_json::json!(["iris", "lily"]));
    let told = fs::read_to_string(folder.join("told.csv")).expect("read");
    let header = told.lines().next();
    assert_eq!(header, Some("kind,length,width,meadow,predicted_kind,probability,log_prob"));
    let pairs = column(&told, "kind").into_iter().zip(column(&told, "predicted_kind"));
    let right = pairs.filter(|(kind, told)| kind == told).count();
    assert_eq!(found["rows_right"], right);

    // The kind itself is not looked at.
    let line = "classify m.safetensors new.csv --probabilities --out new_told.csv";
    run(folder, line).expect(0, &["600 rows told"]);
    let new = fs::read_to_string(folder.join("new_told.csv")).expect("read");
    for name in ["predicted_kind", "probability", "log_prob"] {
        assert_eq!(column(&told, name), column(&new, name), "{name}");
    }
    let [iris, lily] = ["probability_iris", "probability_lily"].map(|name| column(&new, name));
    let sum = |(a, b): (&String, &String)| -> f64 {
        [a, b].map(|p| p.parse::<f64>().expect("a number")).iter().sum()
    };
    assert!(iris.iter().zip(&lily).all(|pair| (sum(pair) - 1.0).abs() < 1e-9));
    run(folder, "classify m.safetensors told.csv").expect(3, &["predicted_kind", "--force"]);
    run(folder, "classify m.safetensors told.csv --force --out again.csv")
        .expect(0, &["told of them"]);
    let again = fs::read_to_string(folder.join("again.csv")).expect("read");
    assert_eq!(again, told);
    let odd = fs::read_to_string(folder.join("f.csv")).expect("read").replace("iris", "rose");
    fs::write(folder.join("odd.csv"), odd).expect("written");
    let odd = run(folder, "classify m.safetensors odd.csv --out o.csv --json");
    let odd = odd.expect(0, &["300 rows have a \"kind\" that no row of the fit had"]).json();
    assert!(odd["rows_unknown"] == 300 && odd["log_loss"].as_f64() < Some(0.2), "{odd}");
    // A kind that is not known is not counted, by a model that was given such.
    let some = fs::read_to_string(folder.join("f.csv")).expect("read").replacen("iris,", ",", 100);
    fs::write(folder.join("some.csv"), some).expect("written");
    let holes = format!(
        "fit some.csv --context kind --missing model --exclude meadow --out h.safetensors {SMALL}"
    );
    run(folder, &holes).expect(0, &[]);
    let line = "classify h.safetensors some.csv --missing model --out h.csv --json";
    let some = run(folder, line).expect(0, &["of 500 rows"]).json();
    assert!(some["rows"] == 600 && some["rows_labelled"] == 500, "{some}");
    run(folder, "classify m.safetensors new.csv --equal-shares --class kind").expect(0, &[]);
    run(folder, "classify m.safetensors new.csv --class meadow").expect(2, &["found \"meadow\""]);
    run(folder, "classify m.safetensors new.csv --draws 4").expect(2, &["--draws"]);

    run(folder, &format!("fit f.csv --exclude kind --out n.safetensors {SMALL}")).expect(0, &[]);
    run(folder, "classify n.safetensors f.csv").expect(2, &["--context LABEL"]);
    let without = format!("fit new.csv --contrast 2 --out o.safetensors {SMALL}");
    run(folder, &without).expect(2, &["there is no context"]);
}
