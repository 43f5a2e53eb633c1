//! `diffeo control` as a process.

mod support;

use std::fs;

use support::{at, column, folder_with_model, run_in, weights};

/// A training of a second: an episode of 200 steps and a bit.
const QUICK: &str = "control train --env pendulum --policy nsf-coupling --hidden 8,8 --transforms 1 --batch 16 --warmup 40 --seed 3 --quiet";

#[test]
fn a_policy_is_learned_and_is_a_model_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = format!(
        "{QUICK} --steps 1020 --out p.safetensors --plot returns.svg --log log.jsonl --json"
    );
    let found = run_in(folder.path(), &line).expect(0, &[]).json();
    assert_eq!((&found["steps"], &found["episodes"]), (&1020.into(), &5.into()));
    assert_eq!((&found["stop_reason"], &found["seed"]), (&"completed".into(), &3.into()));
    assert!(found["validated"]["mean"].as_f64().expect("a number") < 0.0, "{found}");
    let log = fs::read_to_string(at(&folder, "log.jsonl")).expect("a log");
    assert_eq!(log.lines().filter(|line| line.contains("\"episode\"")).count(), 5);
    assert!(log.contains("\"validated\""));
    assert!(fs::read_to_string(at(&folder, "returns.svg")).expect("drawn").starts_with("<svg"));
    assert!(!at(&folder, "p.safetensors.checkpoint").exists());

    let line =
        "control run p.safetensors -n 6 --out steps.csv --plot moments.png --film film.png --json";
    let found = run_in(folder.path(), line).expect(0, &[]).json();
    assert_eq!((&found["episodes"], &found["steps_mean"]), (&6.into(), &200.0.into()));
    let steps = fs::read_to_string(at(&folder, "steps.csv")).expect("written");
    assert!(steps.starts_with("episode,step,cos,sin,speed,torque,reward\n"), "{}", &steps[..60]);
    let rewards: f64 =
        column(&steps, "reward").iter().map(|v| v.parse::<f64>().expect("a number")).sum();
    assert!((rewards / 6.0 - found["return_mean"].as_f64().expect("a number")).abs() < 1e-6);
    let film = fs::read(at(&folder, "film.png")).expect("written");
    assert!(film.windows(4).any(|four| four == b"acTL"), "it moves");

    let inspected = run_in(folder.path(), "inspect p.safetensors").expect(0, &[]).stdout;
    assert!(inspected.contains("pendulum") && inspected.contains("torque"), "{inspected}");
    run_in(folder.path(), "score p.safetensors steps.csv --out scores.csv").expect(0, &[]);
    let scores = fs::read_to_string(at(&folder, "scores.csv")).expect("written");
    assert!(
        column(&scores, "log_prob").iter().all(|v| v.parse::<f64>().expect("a number").is_finite())
    );
    run_in(folder.path(), "sample p.safetensors --context steps.csv --out a.csv --max-rows 30")
        .expect(0, &[]);
    let torques = fs::read_to_string(at(&folder, "a.csv")).expect("written");
    assert!(
        column(&torques, "torque").iter().all(|v| v.parse::<f64>().expect("a number").abs() < 2.0)
    );
    // The same again, and the greedy one is another.
    let again =
        run_in(folder.path(), "control run p.safetensors -n 6 --json").expect(0, &[]).json();
    assert_eq!(again["return_mean"], found["return_mean"]);
    let best = run_in(folder.path(), "control run p.safetensors -n 6 --best 8 --json")
        .expect(0, &[])
        .json();
    assert_ne!(best["return_mean"], found["return_mean"]);
}

#[cfg(unix)]
#[test]
fn a_training_that_was_interrupted_goes_on_to_the_same_policy() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().expect("a folder");
    // Learning rates fall by the last step, so both trainings plan as many.
    let line = format!("{QUICK} --steps 4000 --out p.safetensors");
    let child = support::diffeo()
        .args(format!("{line} --log log.jsonl --json").split_whitespace())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let started = std::time::Instant::now();
    while fs::read_to_string(at(&folder, "log.jsonl")).is_ok_and(|log| log.is_empty())
        || !at(&folder, "log.jsonl").exists()
    {
        assert!(started.elapsed().as_secs() < 120, "no episode ends");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
    let cut = support::Ran::from(child.wait_with_output().expect("ends")).expect(130, &[]).json();
    assert_eq!(cut["stop_reason"], "interrupted");
    assert!(!at(&folder, "p.safetensors").exists());
    assert!(cut["steps"].as_u64().is_some_and(|steps| steps < 4000), "{cut}");
    run_in(folder.path(), &line).expect(5, &["--resume"]);
    let other = line.replace("--batch 16", "--batch 17");
    run_in(folder.path(), &format!("{other} --resume"))
        .expect(2, &["another training", "batch was 16, is 17"]);
    let without_seed = line.replace("--seed 3", "");
    let resumed =
        run_in(folder.path(), &format!("{without_seed} --resume --json")).expect(0, &[]).json();
    run_in(folder.path(), &line).expect(5, &["exists already", "--force"]);
    let whole = format!("{} --json", line.replace("p.safe", "whole.safe"));
    let whole = run_in(folder.path(), &whole).expect(0, &[]).json();
    // Of both parts.
    assert!(whole["episodes"].as_u64() > Some(1) && whole["episodes"] == resumed["episodes"]);
    let [whole, resumed] =
        ["whole", "p"].map(|name| weights(&at(&folder, &format!("{name}.safetensors"))));
    assert_eq!(whole, resumed);
    assert!(!at(&folder, "p.safetensors.checkpoint").exists());
}

#[test]
fn what_cannot_be_is_said_at_once() {
    let folder = folder_with_model();
    let run = |line: &str| run_in(folder.path(), line);
    run("control train --env pendulm --out p.safetensors").expect(2, &["pendulm", "multi-goal"]);
    run("control train --policy nsf").expect(2, &["2 faults", "--env is missing", "--out"]);
    run("control train --env pendulum --out p.safetensors --policy best --algorithm dqn --discount 1 --temperature 0 --entropy 1")
        .expect(2, &["5 faults", "best", "sac or meow", "--discount", "--temperature", "--entropy"]);
    run("control train --env pendulum --out p.safetensors --algorithm meow --entropy 1")
        .expect(2, &["fixed temperature"]);
    run("control run").expect(2, &["POLICY is missing"]);
    run("control run m.safetensors").expect(2, &["--env"]);
    run("control run m.safetensors --env reacher").expect(2, &["torque_elbow", "\"a\""]);
    run("control run m.safetensors --env reacher --film film.svg").expect(2, &["--film", ".png"]);
    run("control run nothing.safetensors").expect(5, &["nothing.safetensors"]);
    fs::write(at(&folder, "run.toml"), "[control-train]\nenv = \"pendulum\"\nstep = 5\n")
        .expect("written");
    run("control train --config run.toml --out p.safetensors")
        .expect(2, &["line 3", "did you mean \"steps\"?"]);
    let text = "threads = 1\n[control-train]\nenv = \"pendulum\"\nsteps = 60\nwarmup = 40\nbatch = 8\nembed = 4\n";
    fs::write(at(&folder, "run.toml"), text).expect("written");
    let found = run(
        "control --config run.toml train --out p.safetensors --seed 1 --steps 50 --json --quiet",
    );
    let found = found.expect(0, &[]).json();
    assert_eq!((&found["steps"], &found["updates"]), (&50.into(), &11.into()));
    // As many updates as steps from the end of the warm-up on, also side by side: 5 at 40, 45, 50, 55 and 60.
    let side =
        "control train --config run.toml --envs 5 --out side.safetensors --seed 1 --json --quiet";
    let found = run(side).expect(0, &[]).json();
    assert_eq!((&found["steps"], &found["updates"]), (&60.into(), &25.into()));
}
