//! Why a fit ended, as text, exit code and JSON: case D7.

mod support;

use std::fs;

use support::{Ran, at, folder, names, run_in};

fn fit(folder: &std::path::Path, options: &str) -> Ran {
    let line = "fit train.csv --columns a,b --out m.safetensors --model maf --transforms 2 --hidden 8 --seed 1 --threads 1";
    run_in(folder, &format!("{line} {options}"))
}

#[test]
fn d7_a_fit_that_does_not_get_better_says_so() {
    let folder = folder();
    let options = "--lr 0.2 --average 0 --patience 1 --steps 4000 --force";
    let ran = fit(folder.path(), options).expect(0, &[]);
    assert!(ran.stdout.contains("validation did not improve any more"), "{ran:?}");
    let found = fit(folder.path(), &format!("{options} --json")).expect(0, &[]).json();
    assert_eq!(found["stop_reason"], "patience");
    assert!(found["best_step"].as_u64() < found["steps"].as_u64(), "{found}");
    assert!(found["steps"].as_u64() < Some(4000), "{found}");
}

#[test]
fn d7_a_fit_that_diverged_keeps_the_best_model_says_so_and_ends_with_code_1() {
    let folder = folder();
    // The base has no density beyond 3 deviations: a far row refuses its step in every epoch, the validation rows are near.
    let text = fs::read_to_string(at(&folder, "train.csv")).expect("there");
    let near: Vec<&str> = text.lines().take(60).collect();
    fs::write(at(&folder, "valid.csv"), near.join("\n") + "\n").expect("written");
    fs::write(at(&folder, "train.csv"), format!("{text}9,0.1,0\n")).expect("written");
    let options = "--valid valid.csv --base uniform:6 --lr 1e-4 --steps 2000 --force";
    let ran = fit(folder.path(), options).expect(1, &["not finite", "rows 401", "back to step"]);
    for said in ["diverged", "the weights of the best step were kept", "lower --lr"] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    let found = fit(folder.path(), &format!("{options} --json")).expect(1, &[]).json();
    assert_eq!(found["stop_reason"], "diverged");
    assert!(found["valid_log_prob_mean"].as_f64().is_some_and(f64::is_finite), "{found}");
    run_in(folder.path(), "score m.safetensors valid.csv --quiet").expect(0, &[]);
}

#[test]
fn d7_the_best_step_of_a_fit_without_validation_is_one_that_was_taken() {
    let folder = folder();
    for steps in [1, 2, 3, 40] {
        let options = format!("--valid 0 --base uniform:0.5 --steps {steps}");
        let ran = fit(folder.path(), &options).expect(1, &["no step could be kept"]);
        assert!(!ran.stdout.contains("best step"), "{ran:?}");
        assert_eq!(names(folder.path()), ["train.csv"]);
    }
    let found = fit(folder.path(), "--valid 0 --steps 40 --json").expect(0, &[]).json();
    assert_eq!((&found["best_step"], &found["steps"]), (&40.into(), &40.into()));
}
