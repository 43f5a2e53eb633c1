//! Signals, kills and time: cases F1, F2, F7, and C13, C14 as a process sees them.
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Ran, at, diffeo, folder, names, run_in, weights};

/// A fit that takes long enough to be stopped in the middle, with a checkpoint every few steps.
fn slow(steps: u32) -> String {
    format!(
        "fit train.csv --columns a,b --seed 4 --out m.safetensors --model maf --transforms 2 --hidden 16 --batch 64 \
         --steps {steps} --patience 1000000 --checkpoint-every 5 --threads 1"
    )
}

fn start(folder: &Path, line: &str) -> Child {
    diffeo()
        .args(line.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let sent =
        Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

fn stop(folder: &Path, line: &str, name: &str) -> Ran {
    let child = start(folder, line);
    wait_for(&folder.join("m.safetensors.checkpoint"));
    signal(&child, name);
    Ran::from(child.wait_with_output().expect("ends"))
}

#[test]
fn f1_sigint_and_sigterm_end_with_a_checkpoint() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = folder();
        let ran = stop(folder.path(), &format!("{} --json", slow(1_000_000)), name)
            .expect(code, &["--resume"]);
        let found = ran.json();
        assert_eq!(found["stop_reason"], "interrupted");
        // The keys of a fit that ended by itself.
        let (steps, best) = (found["steps"].as_u64(), found["best_step"].as_u64());
        assert!(steps >= best && steps >= Some(5), "{found}");
        for key in ["epochs", "seconds", "valid_log_prob_mean"] {
            assert!(found[key].as_f64().is_some_and(f64::is_finite), "{key}: {found}");
        }
        assert!(at(&folder, "m.safetensors.checkpoint").is_file());
        assert!(!at(&folder, "m.safetensors").exists(), "no model of an unfinished fit");
    }
}

#[test]
fn f1_a_second_signal_ends_at_once_and_the_checkpoint_is_sound() {
    let folder = folder();
    let child = start(folder.path(), &slow(1_000_000));
    wait_for(&at(&folder, "m.safetensors.checkpoint"));
    for _ in 0..20 {
        let _ = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }
    let ran = Ran::from(child.wait_with_output().expect("ends"));
    assert_eq!(ran.code, 130, "{ran:?}");
    let line = format!("{} --resume --max-time 1s", slow(1_000_000));
    run_in(folder.path(), &line).expect(0, &["going on from step"]);
}

#[test]
fn f1_a_second_signal_ends_a_step_that_does_not_end_by_itself() {
    let folder = folder();
    let (log, checkpoint) = (at(&folder, "log"), at(&folder, "m.safetensors.checkpoint"));
    assert!(Command::new("mkfifo").arg(&log).status().expect("mkfifo runs").success());
    let mut child = start(folder.path(), &format!("{} --log log", slow(1_000_000)));
    // Nobody reads the log: the fit hangs in a write once the pipe is full.
    let unread = fs::File::open(&log).expect("opens");
    wait_for(&checkpoint);
    let written = || fs::metadata(&checkpoint).and_then(|m| m.modified()).ok();
    loop {
        let before = written();
        std::thread::sleep(Duration::from_millis(700));
        if before.is_some() && before == written() {
            break;
        }
    }
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("asked").is_none(), "the first signal waits for the step");
    let started = Instant::now();
    while child.try_wait().expect("asked").is_none() {
        assert!(started.elapsed() < Duration::from_secs(20), "the second signal does not wait");
        signal(&child, "-INT");
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = Ran::from(child.wait_with_output().expect("ends")).expect(130, &[]);
    assert!(!ran.stderr.contains("interrupted"), "no clean end: {ran:?}");
    drop(unread);
    let line = format!("{} --resume --max-time 1s", slow(1_000_000));
    run_in(folder.path(), &line).expect(0, &["going on from step"]);
}

#[test]
fn f1_other_commands_stop_and_leave_nothing() {
    let folder = support::folder_with_model();
    let child =
        start(folder.path(), "sample m.safetensors -n 100000000 --seed 1 --out s.csv --threads 1");
    std::thread::sleep(Duration::from_millis(700));
    signal(&child, "-INT");
    Ran::from(child.wait_with_output().expect("ends")).expect(130, &[]);
    assert_eq!(names(folder.path()), ["m.safetensors", "train.csv"]);
}

#[test]
fn f1_reweight_keeps_what_it_learned() {
    let folder = folder();
    for (name, seed) in [("a.csv", 1), ("b.csv", 2)] {
        support::write_table(&at(&folder, name), 400, seed);
    }
    let line = "reweight --from a.csv --to b.csv --out w.csv --model maf --folds 2 --steps 1000000 --threads 1";
    let child = start(folder.path(), line);
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "-INT");
    Ran::from(child.wait_with_output().expect("ends")).expect(130, &["--resume"]);
    let kept = "w.csv.flow-1.checkpoint";
    assert!(at(&folder, kept).is_file() && !at(&folder, "w.csv").exists());
    run_in(folder.path(), line).expect(5, &[kept, "--resume", "--force"]);
    let resumed = format!("{line} --resume --max-time 1s");
    run_in(folder.path(), &resumed).expect(0, &["of the checkpoint"]);
    assert_eq!(names(folder.path()), ["a.csv", "b.csv", "train.csv", "w.csv"]);
    let other = "reweight --from a.csv --to b.csv --out v.csv --resume";
    run_in(folder.path(), other).expect(2, &["v.csv.flow-1.checkpoint", "missing"]);
}

#[test]
fn f2_kills_and_resumes_give_the_bits_of_an_undisturbed_run() {
    const STEPS: u32 = 1500;
    let undisturbed = folder();
    run_in(undisturbed.path(), &slow(STEPS)).expect(0, &[]);
    let killed = folder();
    let (mut line, mut kills) = (slow(STEPS), 0);
    for kill in 0..6_u64 {
        let mut child = start(killed.path(), &line);
        wait_for(&at(&killed, "m.safetensors.checkpoint"));
        std::thread::sleep(Duration::from_millis(5 + 37 * kill)); // anywhere, also inside a save
        let _ = child.kill();
        kills += u32::from(!child.wait().expect("ends").success());
        if at(&killed, "m.safetensors").exists() {
            break; // it was faster
        }
        line = format!("{} --resume", slow(STEPS));
    }
    if !at(&killed, "m.safetensors").exists() {
        run_in(killed.path(), &line.replace("--threads 1", "--threads 2")).expect(0, &[]);
    }
    assert!(kills >= 2, "only {kills} kills came in time");
    assert_eq!(weights(&at(&killed, "m.safetensors")), weights(&at(&undisturbed, "m.safetensors")));
    let left: Vec<String> =
        names(killed.path()).into_iter().filter(|n| n.contains("checkpoint")).collect();
    assert!(left.is_empty(), "a finished fit needs no checkpoint: {left:?}");
}

#[test]
fn f7_max_time_ends_with_a_model_and_a_checkpoint_to_go_on_from() {
    let folder = folder();
    let started = Instant::now();
    let line = format!("{} --max-time 1.5s --json", slow(1_000_000));
    let ran = run_in(folder.path(), &line).expect(0, &[]);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(ran.json()["stop_reason"], "max_time");
    assert!(
        at(&folder, "m.safetensors").is_file() && at(&folder, "m.safetensors.checkpoint").is_file()
    );
    let again =
        run_in(folder.path(), &format!("{line} --resume")).expect(0, &["going on from step"]);
    assert!(again.json()["steps"].as_u64() > ran.json()["steps"].as_u64(), "{again:?}");
}

#[test]
fn c13_a_damaged_checkpoint_is_passed_over_only_when_asked() {
    let folder = folder();
    stop(folder.path(), &slow(1_000_000), "-INT").expect(130, &[]);
    let checkpoint = at(&folder, "m.safetensors.checkpoint");
    let mut bytes = fs::read(&checkpoint).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&checkpoint, bytes).expect("written");
    let resume =
        |mode: &str| run_in(folder.path(), &format!("{} --max-time 1s {mode}", slow(1_000_000)));
    resume("--resume").expect(4, &["--resume=auto"]);
    resume("--resume=auto").expect(0, &["warning", "could not be used"]);
    // A writer that was stopped between its two renames leaves the one before alone, which is not to be lost.
    let previous = at(&folder, "m.safetensors.checkpoint.previous");
    fs::rename(&checkpoint, &previous).expect("renamed");
    fs::remove_file(at(&folder, "m.safetensors")).expect("removed");
    run_in(folder.path(), &slow(1_000_000)).expect(5, &["an earlier training left this"]);
    assert!(previous.is_file());
    resume("--resume").expect(0, &["going on from step"]);
}

#[test]
fn c14_resume_refuses_other_data_and_other_settings() {
    let folder = folder();
    stop(folder.path(), &slow(1_000_000), "-TERM").expect(143, &[]);
    let line = slow(1_000_000);
    run_in(folder.path(), &line).expect(5, &["--resume", "--force"]);
    let other = line.replace("--hidden 16", "--hidden 17");
    run_in(folder.path(), &format!("{other} --resume")).expect(2, &["hidden", "16", "17"]);
    let other = line.replace("--batch 64", "--batch 32");
    run_in(folder.path(), &format!("{other} --resume")).expect(2, &["batch", "64", "32"]);
    support::write_table(&at(&folder, "train.csv"), 400, 99);
    run_in(folder.path(), &format!("{line} --resume")).expect(2, &["fingerprint"]);
}

#[test]
fn c14_changes_that_are_allowed_are_taken_over() {
    let folder = folder();
    stop(folder.path(), &slow(1_000_000), "-INT").expect(130, &[]);
    let resume = |changes: &str| {
        let line = format!("{} --resume --max-time 1s {changes}", slow(1_000_000));
        run_in(folder.path(), &line)
    };
    resume("--lr 1e-5").expect(2, &["plan.learning_rate was"]);
    resume("--lr 1e-5 --allow-changed epochs").expect(2, &["plan.learning_rate was"]);
    resume("--lr 1e-5 --allow-changed batch").expect(2, &["lr or epochs", "\"batch\""]);
    resume("--lr 1e-5 --allow-changed lr").expect(0, &["going on from step", "rate 1.0e-5"]);
    resume("--lr 1e-5 --steps 2000000 --allow-changed epochs").expect(0, &["2,000,000 steps"]);
    let line = format!("{} --force --allow-changed lr", slow(10));
    run_in(folder.path(), &line).expect(2, &["--allow-changed", "--resume"]);
}

#[test]
fn c14_resume_without_a_checkpoint_says_so() {
    let folder = folder();
    let ran = run_in(folder.path(), &format!("{} --resume", slow(10)));
    assert!([4, 5].contains(&ran.code), "{ran:?}");
    assert!(ran.stderr.contains("m.safetensors.checkpoint"), "{ran:?}");
}

#[test]
fn a_fit_begins_from_a_model_of_which_columns_and_layers_are() {
    let folder = folder();
    let first = "fit train.csv --columns a,b --seed 4 --model maf --transforms 2 --hidden 16 --steps 60 --quiet --threads 1 --out m.safetensors";
    run_in(folder.path(), first).expect(0, &[]);
    let finer = "fit train.csv --start m.safetensors --seed 5 --steps 200 --lr 5e-3 --threads 1 --json --out finer.safetensors";
    let ran = run_in(folder.path(), finer).expect(0, &["columns a=real,b=real"]);
    let [before, after] = ["m", "finer"].map(|name| {
        let line = format!("evaluate {name}.safetensors train.csv --json");
        run_in(folder.path(), &line).json()["log_prob_mean"].as_f64().expect("a score")
    });
    assert!(after > before, "{before} {after}: {ran:?}");
    // What was left of it goes on from the same model, and from no other.
    let slow = finer
        .replace("--steps 200", "--steps 1000000 --checkpoint-every 5")
        .replace("finer", "slow");
    let child = start(folder.path(), &slow);
    wait_for(&at(&folder, "slow.safetensors.checkpoint"));
    signal(&child, "-INT");
    Ran::from(child.wait_with_output().expect("ends")).expect(130, &["--resume"]);
    let other = slow.replace("--start m.", "--start finer.");
    run_in(folder.path(), &format!("{other} --resume")).expect(2, &["start was"]);
    run_in(folder.path(), &format!("{slow} --resume --max-time 1s")).expect(0, &["going on from"]);
    // A model says itself what it is of.
    run_in(folder.path(), &format!("{finer} --force --hidden 8")).expect(2, &["--hidden"]);
    run_in(folder.path(), &finer.replace("finer", "m").replace("--json", "--force"))
        .expect(5, &["m.safetensors"]);
}
