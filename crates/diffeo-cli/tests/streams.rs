//! Closed pipes, odd names and terminals: cases A18, F6, F10 and F11.

mod support;

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use support::{Ran, TINY, at, diffeo, folder, folder_with_model, run, run_in, write_table};

#[test]
fn f6_a_reader_that_stops_early_is_no_error() {
    let folder = folder_with_model();
    let mut child = diffeo()
        .args(["sample", "m.safetensors", "-n", "500000", "--seed", "1"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut head = [0; 100];
    child.stdout.take().expect("piped").read_exact(&mut head).expect("some rows"); // and dropped: the pipe is closed
    let ran = Ran::from(child.wait_with_output().expect("ends"));
    ran.expect(0, &[]);
}

#[cfg(unix)]
#[test]
fn f6_help_into_a_closed_pipe_and_closed_streams() {
    let folder = folder_with_model();
    let binary = env!("CARGO_BIN_EXE_diffeo");
    for line in [
        format!("{binary} fit --help >&-"),
        format!("{binary} inspect m.safetensors --json >&-"),
        format!("{binary} inspect m.safetensors 2>&-"),
        format!("{binary} sample m.safetensors -n 3 >&- 2>&-"),
        format!("{binary} fit train.csv --out n.safetensors {TINY} >&- 2>&-"),
    ] {
        let output = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(folder.path())
            .output();
        Ran::from(output.expect("a shell")).expect(0, &[]);
    }
}

#[test]
fn f6_off_a_terminal_there_are_no_control_characters() {
    let folder = folder();
    let tiny = TINY.replace(" --quiet", "");
    for (name, value) in [("NO_COLOR", "1"), ("COLUMNS", "0"), ("TERM", "dumb")] {
        let mut command = diffeo();
        command
            .args(format!("fit train.csv --out m.safetensors --force {tiny}").split_whitespace());
        let ran =
            Ran::from(command.current_dir(folder.path()).env(name, value).output().expect("runs"))
                .expect(0, &[]);
        assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\r'), "{ran:?}");
        assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn f4_a_full_disk_behind_stdout_is_said() {
    let folder = folder_with_model();
    let full = fs::File::options().write(true).open("/dev/full").expect("opens");
    let mut command = diffeo();
    command
        .args(["sample", "m.safetensors", "-n", "100000", "--seed", "1"])
        .current_dir(folder.path())
        .stdout(full);
    Ran::from(command.output().expect("runs")).expect(5, &["space"]);
}

#[test]
fn a18_odd_paths_work() {
    let folder = folder();
    for name in ["with space", "new\nline", "-leading", "quote'\"", "naïve"] {
        let data = at(&folder, &format!("{name}.csv"));
        write_table(&data, 200, 2);
        let model = at(&folder, &format!("{name}.safetensors"));
        let fixed: Vec<_> = TINY.split(' ').collect();
        let mut command = diffeo();
        command.arg("fit").arg(&data).arg("--out").arg(&model).args(fixed);
        Ran::from(command.output().expect("runs")).expect(0, &[]);
        run([std::ffi::OsStr::new("inspect"), model.as_os_str()]).expect(0, &[]);
    }
    let ran = run_in(folder.path(), "fit -- -not-there.csv --out x");
    assert_eq!(ran.code, 2, "what follows -- is a path: {ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a18_paths_that_are_not_unicode_work_and_are_printed_escaped() {
    use std::os::unix::ffi::OsStringExt as _;
    let folder = folder();
    let name = std::ffi::OsString::from_vec(b"b\xff\x1b[31m.csv".to_vec());
    let data = folder.path().join(&name);
    write_table(&data, 200, 3);
    let mut command = diffeo();
    command
        .arg("fit")
        .arg(&data)
        .args(["--out", "m.safetensors"])
        .args(TINY.split(' '))
        .current_dir(folder.path());
    Ran::from(command.output().expect("runs")).expect(0, &[]);
    let mut command = diffeo();
    command
        .arg("score")
        .arg("m.safetensors")
        .arg(folder.path().join("gone").join(&name))
        .current_dir(folder.path());
    let ran = Ran::from(command.output().expect("runs")).expect(5, &[]);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn f10_a_panic_in_a_worker_is_a_bug_report_and_code_70() {
    let mut command = diffeo();
    command.args(["inspect", "m.safetensors"]).env("DIFFEO_TEST_PANIC", "start");
    let ran =
        Ran::from(command.output().expect("runs")).expect(70, &["internal error", "Please report"]);
    assert!(!ran.stderr.contains("stack backtrace") && ran.stderr.lines().count() == 2, "{ran:?}");
}

#[test]
fn f10_a_panic_in_the_middle_of_the_work_publishes_nothing() {
    let folder = folder_with_model();
    let before = support::names(folder.path());
    let lines = [
        ("score", "score m.safetensors train.csv --out scores.csv".to_string()),
        ("fit", format!("fit train.csv --out new.safetensors --checkpoint-every 1000 {TINY}")),
    ];
    for (place, line) in &lines {
        let mut command = diffeo();
        command.args(line.split_whitespace()).current_dir(folder.path());
        let ran = Ran::from(command.env("DIFFEO_TEST_PANIC", place).output().expect("runs"))
            .expect(70, &["internal error", "No output was published", "Please report"]);
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert_eq!(support::names(folder.path()), before, "{place}");
    }
}

#[test]
fn f11_escapes_in_column_names_are_not_passed_on() {
    let folder = folder();
    let mut text = String::from("a,\"b\u{1b}[31mred\u{7}\"\n");
    for i in 0..200 {
        text.push_str(&format!(
            "{},{}\n",
            (i * 7919 % 200) as f64 * 0.013,
            (i * 104_729 % 199) as f64 * 0.017
        ));
    }
    fs::write(at(&folder, "escape.csv"), text).expect("written");
    let tiny = TINY.replace(" --quiet", "");
    let fit =
        run_in(folder.path(), &format!("fit escape.csv --out m.safetensors {tiny}")).expect(0, &[]);
    let inspect = run_in(folder.path(), "inspect m.safetensors").expect(0, &[]);
    let score = run_in(folder.path(), "score m.safetensors train.csv").expect(3, &[]);
    for ran in [fit, inspect, score] {
        assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\u{7}'), "{ran:?}");
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{7}'), "{ran:?}");
    }
}

#[test]
fn text_as_spreadsheets_of_other_countries_write_it_is_read() {
    let folder = folder();
    let rows: String = (0..60)
        .map(|i| {
            format!(
                "{},{};\"{}\";{:02}/03/2024\n",
                i % 7,
                10 + i,
                ["Ulm; alt", "Bonn"][i % 2],
                1 + i % 28
            )
        })
        .collect();
    fs::write(at(&folder, "e.csv"), format!("x;town;day\n{rows}")).unwrap();
    let ran = run_in(
        folder.path(),
        &format!("fit e.csv --out e.safetensors --seed 1 {}", TINY.replace("--quiet", "")),
    )
    .expect(0, &["commas for points", "town=category", "look like dates"]);
    assert!(!ran.stderr.contains("x=category"), "{ran:?}");
    let scored = run_in(folder.path(), "score e.safetensors e.csv --quiet").expect(0, &[]).stdout;
    assert!(
        scored.lines().nth(1).is_some_and(|line| line.starts_with("0.10,Ulm; alt,")),
        "{scored}"
    );
    for (name, mark) in [("t.csv", "\t"), ("p.csv", "|")] {
        let text = fs::read_to_string(at(&folder, "train.csv")).unwrap().replace(',', mark);
        fs::write(at(&folder, name), text).unwrap();
        let line = format!("fit {name} --columns a,b --out {name}.safetensors --seed 1 {TINY}");
        run_in(folder.path(), &line).expect(0, &[]);
    }
}

#[test]
fn cells_that_begin_like_comments_come_back() {
    let folder = folder();
    let rows: String = (0..60).map(|i| format!("\"#{}\",{}\n", i % 3, i * i % 17)).collect();
    fs::write(at(&folder, "h.csv"), format!("\"#tag\",x\n{rows}")).unwrap();
    let line = format!("fit h.csv --out h.safetensors --seed 1 {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    run_in(folder.path(), "score h.safetensors h.csv --quiet --out s.csv").expect(0, &[]);
    let again = run_in(folder.path(), "evaluate h.safetensors s.csv --json").expect(0, &[]);
    assert_eq!(again.json()["rows"], 60, "{again:?}");
}
