//! Full disks, little memory, no home: cases A16, F4, F5 and F8.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::Command;

use support::{Ran, TINY, at, diffeo, folder, run_in};

fn shell(folder: &std::path::Path, line: &str) -> Ran {
    let line = line.replace("diffeo", env!("CARGO_BIN_EXE_diffeo"));
    Ran::from(Command::new("sh").args(["-c", &line]).current_dir(folder).output().expect("a shell"))
}

#[test]
fn f4_training_goes_on_when_only_the_log_fails() {
    let folder = folder();
    let ran =
        run_in(folder.path(), &format!("fit train.csv --out m.safetensors --log /dev/full {TINY}"));
    let ran = ran.expect(0, &["warning: the log /dev/full cannot be written"]);
    assert_eq!(ran.stderr.matches("/dev/full").count(), 1, "once: {ran:?}");
    assert!(at(&folder, "m.safetensors").is_file());
}

#[test]
fn f4_a_log_is_one_object_a_line() {
    let folder = folder();
    run_in(folder.path(), &format!("fit train.csv --out m.safetensors --log log.jsonl {TINY}"))
        .expect(0, &[]);
    let text = fs::read_to_string(at(&folder, "log.jsonl")).expect("a log");
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(count("step"), 30);
    assert!(count("validated") > 0 && count("finished") == 1);
}

#[test]
fn f4_a_file_size_limit_stops_cleanly() {
    let folder = folder();
    // Beyond the limit the system sends SIGXFSZ unless it is ignored, as a full disk would give an error.
    let line = "trap '' XFSZ; ulimit -f 1; diffeo fit train.csv --hidden 256,256 --out m.safetensors --model maf --steps 5 --quiet";
    let ran = shell(folder.path(), line).expect(5, &["m.safetensors"]);
    assert_eq!(support::names(folder.path()), ["train.csv"], "{ran:?}");
}

#[test]
fn f4_a_full_disk_at_a_checkpoint_stops_cleanly_and_the_old_one_stays() {
    let folder = folder();
    let fit = "diffeo fit train.csv --hidden 256,256 --seed 1 --out m.safetensors --model maf --steps 40000 --threads 1";
    let full = "trap '' XFSZ; ulimit -f 1;";
    let ran = shell(folder.path(), &format!("{full} {fit} --checkpoint-every 1 --quiet"));
    let ran = ran.expect(5, &["m.safetensors.checkpoint", "cannot"]);
    assert_eq!(support::names(folder.path()), ["train.csv"], "{ran:?}");
    // The disk fills up in the second part of a run.
    shell(folder.path(), &format!("{fit} --max-time 0.5s --quiet")).expect(0, &[]);
    let before = support::names(folder.path());
    let old = fs::read(at(&folder, "m.safetensors.checkpoint")).expect("there");
    shell(folder.path(), &format!("{full} {fit} --resume --checkpoint-every 1 --quiet"))
        .expect(5, &["m.safetensors.checkpoint"]);
    assert_eq!(support::names(folder.path()), before);
    assert!(fs::read(at(&folder, "m.safetensors.checkpoint")).expect("there") == old);
    shell(folder.path(), &format!("{fit} --resume --max-time 1s")).expect(0, &["going on"]);
}

#[test]
fn a16_a_table_beyond_the_memory_limit_is_refused_with_numbers() {
    let folder = folder();
    support::write_table(&at(&folder, "large.csv"), 20_000, 5);
    run_in(folder.path(), "fit large.csv --out m.safetensors --max-memory 100k")
        .expect(5, &["MiB", "--max-rows"]);
}

#[test]
fn f5_under_an_address_space_limit_there_is_an_error_or_a_result_but_no_crash() {
    let folder = folder();
    for kib in [400_000, 800_000, 1_600_000] {
        let line =
            format!("ulimit -v {kib}; diffeo fit train.csv --out m.safetensors --force {TINY}");
        let ran = shell(folder.path(), &line);
        assert!([0, 5].contains(&ran.code), "{kib}: {ran:?}");
    }
}

#[test]
fn f5_the_table_is_measured_against_the_limit_of_the_process() {
    let folder = folder();
    // Twenty million rows of zeros, which take no room on the disk; 305.2 MiB in memory.
    let mut head =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (20000000, 2), }"
            .to_vec();
    head.resize(127, b' ');
    head.push(b'\n');
    fs::write(at(&folder, "large.npy"), &head).expect("written");
    let file = fs::File::options().write(true).open(at(&folder, "large.npy")).expect("opens");
    file.set_len(128 + 20_000_000 * 16).expect("extended");
    // A third of 614.4 MB is 195.3 MiB; less on a machine that has less.
    let line = "ulimit -v 600000; diffeo fit large.npy --out m.safetensors --quiet";
    let texts = ["large.npy", "need 305.2 MiB of memory", "the limit is", "--max-rows"];
    let ran = shell(folder.path(), line).expect(5, &texts);
    let (_, limit) = ran.stderr.split_once("the limit is ").expect("the limit");
    let limit: f64 = limit.split(' ').next().expect("a number").parse().expect("a number");
    assert!(limit <= 195.3, "{ran:?}");
}

#[test]
fn f8_no_home_no_tmp_and_few_files() {
    let folder = folder();
    let mut command = diffeo();
    let line = format!("fit train.csv --out m.safetensors {TINY}");
    command
        .args(line.split_whitespace())
        .current_dir(folder.path())
        .env_clear()
        .env("TMPDIR", "/nowhere");
    Ran::from(command.output().expect("runs")).expect(0, &[]);
    shell(folder.path(), "ulimit -n 12; diffeo score m.safetensors train.csv --out s.csv --quiet")
        .expect(0, &[]);
}
