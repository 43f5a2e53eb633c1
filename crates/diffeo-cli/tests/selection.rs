//! `fit --model auto`: a few models are tried, the best is fitted.

mod support;

use std::fs;

use serde_json::Value;
use support::{at, folder, names, run_in};

const AUTO: &str = "fit train.csv --columns a,b --seed 4 --out m.safetensors --model auto --hidden 8 --transforms 2 --batch 64 --threads 1";

#[test]
fn the_best_of_those_that_were_tried_is_fitted() {
    let folder = folder();
    let ran = run_in(folder.path(), &format!("{AUTO} --steps 100 --log log --json"))
        .expect(0, &["tried nsf", "tried gaussian", "selected"]);
    let found = ran.json();
    let trials = found["trials"].as_array().expect("trials");
    let score = |trial: &Value| trial["valid_log_prob_mean"].as_f64().expect("a number");
    let best = trials.iter().max_by(|a, b| score(a).total_cmp(&score(b))).expect("one at least");
    assert_eq!(best["model"], found["selected"]);
    // Each trial takes a fifth of the steps, the fit all of them; the closed form takes none.
    assert!(trials.iter().all(|trial| [0, 20].map(Value::from).contains(&trial["steps"])));
    assert!(found["selected"] == "gaussian" || found["steps"] == 100, "{found}");
    let log = fs::read_to_string(at(&folder, "log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.filter(|line| line["event"] == "trial").count(), trials.len());
    assert_eq!(names(folder.path()), ["log", "m.safetensors", "train.csv"]);
    run_in(folder.path(), "inspect m.safetensors").expect(0, &[]);
}

#[test]
fn a_fit_of_the_selected_model_goes_on() {
    let folder = folder();
    // Far more steps than there is time for.
    let line = format!("{AUTO} --steps 100000000 --max-time 3s --checkpoint-every 5");
    let ran = run_in(folder.path(), &line).expect(0, &["cut short", "selected"]);
    assert!(ran.stdout.contains("time limit"), "{ran:?}");
    run_in(folder.path(), &format!("{line} --resume --max-time 1s"))
        .expect(0, &["going on from step"]);
    let other = format!("{line} --resume --max-time 1s").replace("--hidden 8", "--hidden 9");
    run_in(folder.path(), &other).expect(2, &["none of the models"]);
}

#[test]
fn without_rows_to_compare_by_nothing_is_selected() {
    let folder = folder();
    run_in(folder.path(), &format!("{AUTO} --valid 0")).expect(2, &["--model auto", "--valid"]);
    run_in(folder.path(), "fit train.csv --out m.safetensors --model aut").expect(2, &["or auto"]);
    assert_eq!(names(folder.path()), ["train.csv"]);
}
