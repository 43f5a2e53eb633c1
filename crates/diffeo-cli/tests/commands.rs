//! Each command does its task, and its JSON keys are those of the documentation.

mod support;

use std::fs;

use support::{TINY, at, folder, folder_with_model, run, run_in};

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn has_keys(value: &serde_json::Value, wanted: &[&str]) {
    for key in wanted {
        assert!(keys(value).contains(key), "{key} is not in {value}");
    }
}

#[test]
fn fit_prints_the_schema_and_reports() {
    let folder = folder();
    let line = format!(
        "fit train.csv --out m.safetensors --json --seed 1 {}",
        TINY.replace(" --quiet", "")
    );
    let ran = run_in(folder.path(), &line).expect(0, &["columns a=real,b=", "rows to train"]);
    has_keys(
        &ran.json(),
        &[
            "model",
            "parameters",
            "rows_train",
            "rows_valid",
            "steps",
            "epochs",
            "seconds",
            "stop_reason",
            "valid_log_prob_mean",
            "best_step",
            "warnings",
        ],
    );
    assert_eq!(ran.json()["stop_reason"], "completed");
    assert_eq!(ran.json()["rows_train"], 360);
}

#[test]
fn fit_by_flow_matching_says_so_everywhere_and_refuses_what_it_cannot_train() {
    let folder = folder();
    let fit = |text: &str| {
        let line =
            format!("fit train.csv --columns a,b --out m.safetensors --json --seed 1 {text}");
        run_in(folder.path(), &line)
    };
    let maf = TINY.replace(" --quiet", "");
    let ran = fit(&maf.replace("maf", "ot-flow-matching"));
    let found = ran.expect(0, &["by ot-flow-matching, validated by likelihood"]).json();
    has_keys(&found, &["valid_log_prob_mean", "evaluations"]);
    assert_eq!(found["loss"], "ot-flow-matching");
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).json();
    assert_eq!(inspected["training"]["options"]["plan"]["loss"], "ot-flow-matching");
    let inspected = run_in(folder.path(), "inspect m.safetensors").expect(0, &[]);
    assert!(inspected.stdout.contains("evaluations of the field"), "{inspected:?}");
    let other = format!("{maf} --force --loss");
    fit(&format!("{other} flow-matching"))
        .expect(2, &["expected one continuous layer onto the normal base", "layers"]);
    fit(&format!("{other} nothing")).expect(2, &["--loss", "ot-flow-matching"]);
}

#[test]
fn fit_takes_weights_validation_files_and_leaves_out_text() {
    let folder = folder();
    let text = fs::read_to_string(at(&folder, "train.csv")).expect("there");
    let mut lines = text.lines();
    let head = lines.next().expect("a header");
    let body: Vec<String> = lines.enumerate().map(|(i, l)| format!("{l},{},n{i}", i % 3)).collect();
    fs::write(at(&folder, "more.csv"), format!("{head},w,name\n{}\n", body.join("\n")))
        .expect("written");
    let tiny = TINY.replace(" --quiet", "");
    let line = format!(
        "fit more.csv --weight w --valid more.csv --exclude c --out m.safetensors --json {tiny}"
    );
    let ran = run_in(folder.path(), &line)
        .expect(0, &["\"name\": left out, it seems to name the rows", "columns a=real,b="]);
    assert!(!ran.stderr.contains("c=real") && !ran.stderr.contains("w="), "{ran:?}");
}

#[test]
fn evaluate_reports_mean_error_bits_and_rows() {
    let folder = folder_with_model();
    let ran = run_in(folder.path(), "evaluate m.safetensors train.csv --json").expect(0, &[]);
    let found = ran.json();
    has_keys(&found, &["rows", "dims", "log_prob_mean", "log_prob_stderr", "bits_per_dim"]);
    assert_eq!((found["rows"].as_u64(), found["dims"].as_u64()), (Some(400), Some(2)));
    let bits = -found["log_prob_mean"].as_f64().expect("a number") / (2.0 * std::f64::consts::LN_2);
    assert!((found["bits_per_dim"].as_f64().expect("a number") - bits).abs() < 1e-9);
    let people = run_in(folder.path(), "evaluate m.safetensors train.csv").expect(0, &[]);
    assert!(people.stdout.contains("nats per row"), "{people:?}");
}

#[test]
fn check_passes_on_a_sound_model_and_fails_on_other_data() {
    let folder = folder_with_model();
    let ran = run_in(folder.path(), "check m.safetensors --json --rows 1000").expect(0, &[]);
    assert_eq!(ran.json()["passed"], true);
    has_keys(&ran.json()["checks"][0], &["name", "passed", "value", "limit", "detail"]);
    let shifted: String =
        (0..500).map(|i| format!("{},{}\n", 5.0 + f64::from(i % 17), f64::from(i % 13))).collect();
    fs::write(at(&folder, "other.csv"), format!("a,b\n{shifted}")).expect("written");
    let ran = run_in(folder.path(), "check m.safetensors other.csv --rows 1000").expect(1, &[]);
    assert!(ran.stdout.contains("FAIL"), "{ran:?}");
}

#[test]
fn inspect_shows_and_survives_other_files() {
    let folder = folder_with_model();
    let ran = run_in(folder.path(), "inspect m.safetensors").expect(0, &[]);
    for text in [
        "density of 2 columns",
        "centre",
        "scale",
        "transforms, data to base",
        "autoregressive",
        "training",
        "seed",
    ] {
        assert!(ran.stdout.contains(text), "{text}: {ran:?}");
    }
    let found = run_in(folder.path(), "inspect m.safetensors --json").json();
    has_keys(&found, &["dims", "parameters", "schema", "spec", "training", "history", "damage"]);
    fs::write(at(&folder, "p.pt"), b"PK\x03\x04 pickle").expect("written");
    run_in(folder.path(), "inspect p.pt").expect(4, &["p.pt"]);
    run_in(folder.path(), "inspect gone.safetensors").expect(5, &["gone.safetensors"]);
    run_in(folder.path(), "score train.csv train.csv").expect(4, &["train.csv"]);
}

#[test]
fn c7_every_flipped_bit_of_a_model_is_noticed() {
    let folder = folder_with_model();
    let bytes = fs::read(at(&folder, "m.safetensors")).expect("there");
    for place in [0, 9, bytes.len() / 3, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 4;
        fs::write(at(&folder, "damaged.safetensors"), damaged).expect("written");
        run_in(folder.path(), "sample damaged.safetensors -n 1")
            .expect(4, &["damaged.safetensors"]);
    }
}

#[test]
fn plots_are_written_and_refused_where_they_make_no_sense() {
    let folder = folder_with_model();
    run_in(folder.path(), "plot m.safetensors train.csv --out f.svg --kind all --rows 300")
        .expect(0, &[]);
    for kind in ["pairs", "marginals", "loss", "density", "calibration"] {
        let text = fs::read_to_string(at(&folder, &format!("f-{kind}.svg"))).expect(kind);
        assert!(text.starts_with("<svg"), "{kind}");
    }
    run_in(folder.path(), "plot m.safetensors --out f.png --rows 200").expect(0, &[]);
    assert!(fs::read(at(&folder, "f.png")).expect("there").starts_with(b"\x89PNG"));
    run_in(folder.path(), "plot m.safetensors --out f.png").expect(5, &["--force"]);
    run_in(folder.path(), "plot m.safetensors --out f.jpg").expect(2, &["--out"]);
    run_in(folder.path(), "plot m.safetensors --out g.png --kind calibration").expect(2, &["DATA"]);
}

#[test]
fn e7_the_density_of_a_conditional_model_is_drawn_given_the_mean_context() {
    let folder = support::folder_with_conditional_model();
    let plot = |rest: &str| run_in(folder.path(), &format!("plot m.safetensors {rest} --rows 400"));
    plot("--kind density --out d.svg").expect(2, &["conditional", "DATA"]);
    let ran = plot("train.csv --kind density --out d.svg").expect(0, &["mean context", "\"c\" = "]);
    let text = fs::read_to_string(at(&folder, "train.csv")).expect("there");
    let mean = support::column(&text, "c").into_iter().map(|c| c.parse::<f64>().expect("a number"));
    let said = format!("\"c\" = {:.4}", mean.sum::<f64>() / 400.0);
    assert!(ran.stderr.contains(&said), "{said}: {ran:?}");
    plot("train.csv --kind all --out f.svg").expect(0, &[]);
    for name in ["d.svg", "f-density.svg", "f-pairs.svg"] {
        assert!(fs::read_to_string(at(&folder, name)).expect(name).starts_with("<svg"), "{name}");
    }
    let one = format!("fit train.csv --columns a --out one.safetensors {TINY}");
    run_in(folder.path(), &one).expect(0, &[]);
    run_in(folder.path(), "plot one.safetensors --kind density --out e.svg")
        .expect(2, &["two columns", "--kind pairs"]);
}

#[test]
fn samples_are_whole_numbers_where_the_data_is() {
    let folder = folder();
    let text: String =
        (0..300).map(|i| format!("{},{}\n", i % 7, f64::from(i * 31 % 101) / 9.0)).collect();
    fs::write(at(&folder, "n.csv"), format!("n,x\n{text}")).expect("written");
    run_in(folder.path(), &format!("fit n.csv --out n.safetensors {TINY}")).expect(0, &[]);
    let ran = run_in(folder.path(), "sample n.safetensors -n 50 --seed 1 --quiet").expect(0, &[]);
    assert!(support::column(&ran.stdout, "n").iter().all(|n| n.parse::<i64>().is_ok()), "{ran:?}");
}

#[test]
fn f9_devices_that_this_build_lacks_are_refused_and_named() {
    for device in ["auto", "gpu", "cuda", "metal", "vulkan", "wgpu"] {
        let ran = run(["sample", "m", "-n", "1", "--device", device])
            .expect(5, &["processor only (flex)", device]);
        assert!(!ran.stderr.contains("feature"), "no build has another device: {ran:?}");
    }
    run(["sample", "m", "-n", "1", "--device", "abacus"]).expect(2, &["abacus", "flex"]);
}

#[test]
fn help_teaches_and_completions_complete() {
    for command in ["fit", "score", "evaluate", "sample", "check", "inspect", "plot"] {
        let ran = run([command, "--help"]).expect(0, &[]);
        assert!(
            ran.stdout.contains("Examples:") && ran.stdout.contains("Exit codes:"),
            "{command}"
        );
        assert!(ran.stdout.lines().all(|line| line.chars().count() <= 120), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(["completions", shell]).expect(0, &[]);
        assert!(ran.stdout.contains("evaluate"), "{shell}");
    }
    run(["fit", "--no-such-flag"]).expect(2, &["--no-such-flag"]);
    run(["fitt"]).expect(2, &["fit"]);
    let ran =
        run(["score", "gone.safetensors", "x.csv", "--json", "--out", "y.csv"]).expect(5, &[]);
    assert_eq!(ran.json()["error"]["exit_code"], 5);
}
