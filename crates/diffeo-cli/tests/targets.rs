//! Outputs are checked before the work: case B6, and C11, C16 as a process sees them.

mod support;

use std::fs;

use support::{TINY, at, folder, folder_with_model, names, run_in};

#[test]
fn b6_an_existing_output_is_refused_before_the_data_is_read() {
    let folder = folder();
    fs::write(at(&folder, "m.safetensors"), "precious").expect("written");
    run_in(folder.path(), "fit not-there.csv --out m.safetensors")
        .expect(5, &["m.safetensors", "exists", "--force"]);
    assert_eq!(fs::read_to_string(at(&folder, "m.safetensors")).expect("there"), "precious");
    run_in(folder.path(), &format!("fit train.csv --out m.safetensors --force {TINY}"))
        .expect(0, &[]);
}

#[test]
fn b6_an_output_that_is_an_input_is_refused_even_by_force() {
    let folder = folder_with_model();
    run_in(folder.path(), "fit train.csv --out train.csv --force").expect(5, &["also an input"]);
    run_in(folder.path(), "score m.safetensors train.csv --out ./train.csv --force")
        .expect(5, &["also an input"]);
    run_in(folder.path(), "sample m.safetensors -n 3 --out m.safetensors").expect(2, &["--out"]);
}

#[test]
fn b6_missing_folders_folders_and_devices_are_refused() {
    let folder = folder();
    run_in(folder.path(), "fit train.csv --out no/where/m.safetensors")
        .expect(5, &["does not exist"]);
    run_in(folder.path(), "fit train.csv --out .").expect(5, &[]);
    run_in(folder.path(), "fit train.csv --out /dev/null").expect(5, &["device"]);
    run_in(folder.path(), "fit train.csv --out m.safetensors --log no/where/log.jsonl")
        .expect(5, &["no/where", "does not exist"]);
    assert_eq!(names(folder.path()), ["train.csv"], "no probes are left");
}

#[cfg(unix)]
#[test]
fn b6_a_read_only_folder_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let locked = at(&folder, "locked");
    fs::create_dir(&locked).expect("created");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("set");
    if fs::write(locked.join("x"), "").is_ok() {
        return; // the superuser may write anywhere
    }
    run_in(folder.path(), "fit train.csv --out locked/m.safetensors").expect(5, &["locked"]);
}

#[cfg(unix)]
#[test]
fn c16_a_symlink_is_followed_once_and_said() {
    let folder = folder();
    std::os::unix::fs::symlink("real.safetensors", at(&folder, "link.safetensors"))
        .expect("linked");
    let tiny = TINY.replace(" --quiet", "");
    run_in(folder.path(), &format!("fit train.csv --out link.safetensors {tiny}"))
        .expect(0, &["is a symlink; writing"]);
    assert!(fs::symlink_metadata(at(&folder, "link.safetensors")).expect("there").is_symlink());
    assert!(at(&folder, "real.safetensors").is_file());
    std::os::unix::fs::symlink("link.safetensors", at(&folder, "twice.safetensors"))
        .expect("linked");
    run_in(folder.path(), "fit train.csv --out twice.safetensors")
        .expect(5, &["symlink to a symlink"]);
    std::os::unix::fs::symlink("loop.csv", at(&folder, "loop.csv")).expect("linked");
    run_in(folder.path(), "fit loop.csv --out n.safetensors").expect(5, &["loop.csv"]);
}

#[test]
fn c11_nothing_but_the_output_is_left_behind() {
    let folder = folder_with_model();
    run_in(folder.path(), "score m.safetensors train.csv --out scores.csv").expect(0, &[]);
    assert_eq!(names(folder.path()), ["m.safetensors", "scores.csv", "train.csv"]);
}

#[test]
fn f4_a_failed_run_leaves_no_partial_output() {
    let folder = folder_with_model();
    let mut text = fs::read_to_string(at(&folder, "train.csv")).expect("there");
    text.push_str("1,oops,3\n");
    fs::write(at(&folder, "bad.csv"), text).expect("written");
    run_in(folder.path(), "score m.safetensors bad.csv --out scores.csv")
        .expect(3, &["bad.csv", "line 402", "oops"]);
    assert_eq!(names(folder.path()), ["bad.csv", "m.safetensors", "train.csv"]);
}
