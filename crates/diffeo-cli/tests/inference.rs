//! Scoring and sampling as a process: cases A12, E1, E3, E6, E7, E8 and E10.

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use support::{Ran, at, column, diffeo, folder_with_conditional_model, folder_with_model, run_in};

fn rows(count: usize) -> String {
    (0..count).map(|i| format!("{},{}\n", i as f64 * 0.1 - 1.0, 0.05 * i as f64)).collect()
}

#[test]
fn e1_rows_that_are_not_finite_are_refused_by_number_or_kept_alone() {
    let folder = folder_with_model();
    fs::write(at(&folder, "good.csv"), format!("a,b\n{}", rows(9))).expect("written");
    let mut bad: Vec<String> = rows(9).lines().map(str::to_string).collect();
    bad[3] = "nan,0.1".to_string();
    bad[5] = "0.1,inf".to_string();
    fs::write(at(&folder, "bad.csv"), format!("a,b\n{}\n", bad.join("\n"))).expect("written");
    let refused = run_in(folder.path(), "score m.safetensors bad.csv").expect(3, &["bad.csv"]);
    assert!(refused.stderr.contains("line 5") || refused.stderr.contains("line 7"), "{refused:?}");
    let good = column(
        &run_in(folder.path(), "score m.safetensors good.csv --quiet").expect(0, &[]).stdout,
        "log_prob",
    );
    let kept = run_in(folder.path(), "score m.safetensors bad.csv --nonfinite keep")
        .expect(0, &["1 rows hold NaN; their log_prob is NaN"])
        .expect(0, &["1 rows hold an infinity; their log_prob is -inf"]);
    assert!(!kept.stderr.contains("outside the support"), "counted once: {kept:?}");
    let kept = column(&kept.stdout, "log_prob");
    for (i, (good, kept)) in good.iter().zip(&kept).enumerate() {
        match i {
            3 => assert_eq!(kept, "NaN"),
            5 => assert_eq!(kept, "-inf"),
            _ => assert_eq!(good, kept, "row {i}"),
        }
    }
    let line = "score m.safetensors bad.csv --nonfinite keep --out s.csv --json";
    let found = run_in(folder.path(), line).expect(0, &[]).json();
    assert_eq!((&found["rows_nonfinite"], &found["rows_outside_support"]), (&2.into(), &0.into()));
    let help = run_in(folder.path(), "score --help").expect(0, &[]).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("log_prob NaN for NaN and -inf for an infinity"), "{help}");
}

#[test]
fn rows_whose_context_no_row_of_the_fit_had_are_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows =
        (0..40).map(|i| format!("{},{}\n", f64::from(i % 7) * 0.3, ["u", "v"][i as usize % 2]));
    fs::write(at(&folder, "t.csv"), format!("a,k\n{}", rows.collect::<String>())).expect("written");
    let fit = "fit t.csv --columns a=real --context k --steps 3 --seed 1 --out m.safetensors";
    run_in(folder.path(), fit).expect(0, &[]);
    fs::write(at(&folder, "x.csv"), "a,k\n0.1,u\n0.1,w\n").expect("written");
    let told = "1 rows have a context with a level that no row of the fit had";
    for line in [
        "score m.safetensors x.csv",
        "evaluate m.safetensors x.csv",
        "sample m.safetensors --context x.csv --out s.csv",
    ] {
        run_in(folder.path(), line).expect(0, &[told]);
    }
    fs::write(at(&folder, "y.csv"), "a,k\n0.1,u\n").expect("written");
    let known = run_in(folder.path(), "score m.safetensors y.csv").expect(0, &[]);
    assert!(!known.stderr.contains("level"), "{known:?}");
}

#[test]
fn e1_an_infinity_among_the_columns_has_density_zero_and_in_the_context_none() {
    let folder = folder_with_conditional_model();
    let text = "a,b,c\n0.1,0.2,0.3\n0.1,0.2,inf\n0.1,0.2,nan\ninf,0.2,0.3\nnan,inf,0.3\n";
    fs::write(at(&folder, "x.csv"), text).expect("written");
    let ran = run_in(folder.path(), "score m.safetensors x.csv --nonfinite keep")
        .expect(0, &["3 rows hold NaN or an infinite context", "1 rows hold an infinity"]);
    let log_prob = column(&ran.stdout, "log_prob");
    assert_eq!(log_prob[1..], ["NaN", "NaN", "-inf", "NaN"], "{ran:?}");
    assert!(log_prob[0].parse::<f64>().expect("a number").is_finite());
}

#[test]
fn e2_rows_unlike_all_of_the_training_are_flagged() {
    let folder = folder_with_model();
    fs::write(at(&folder, "far.csv"), "a,b\n0.1,0.2\n1e6,0\n-1e6,1e6\n1e30,0\nnan,0\n")
        .expect("written");
    let line = "score m.safetensors far.csv --flag-ood --nonfinite keep";
    let ran = run_in(folder.path(), line).expect(0, &["4 rows are flagged as ood"]);
    assert_eq!(column(&ran.stdout, "ood"), ["0", "1", "1", "1", "1"]);
    let log_prob: Vec<f64> =
        column(&ran.stdout, "log_prob").iter().map(|l| l.parse().expect("a number")).collect();
    assert!(log_prob[..4].iter().all(|l| !l.is_nan()) && log_prob[4].is_nan(), "{log_prob:?}");
    // No row of the fit is below the lowest of them.
    let line = "score m.safetensors train.csv --flag-ood --out s.csv --json";
    assert_eq!(run_in(folder.path(), line).expect(0, &[]).json()["rows_ood"], 0);
    fs::write(at(&folder, "ood.csv"), "a,b,ood\n0.1,0.2,7\n").expect("written");
    run_in(folder.path(), "score m.safetensors ood.csv --flag-ood").expect(3, &["ood", "--force"]);
    let ran = run_in(folder.path(), "score m.safetensors ood.csv --flag-ood --force --quiet");
    assert_eq!(column(&ran.expect(0, &[]).stdout, "ood"), ["0"]);
    let old = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../diffeo/tests/golden/model_release_0_1.safetensors"
    );
    fs::write(at(&folder, "old.csv"), "energy,hits,share\n2,3,0.5\n").expect("written");
    run_in(folder.path(), &format!("score {old} old.csv --flag-ood")).expect(2, &["fit it anew"]);
    run_in(folder.path(), &format!("score {old} old.csv --quiet")).expect(0, &[]);
}

#[test]
fn rows_given_what_the_fit_never_saw_are_told_of() {
    let folder = folder_with_conditional_model();
    let told = "2 rows have a context far outside";
    fs::write(at(&folder, "x.csv"), "a,b,c\n0.1,0.2,0.3\n0.1,0.2,300\n0,0,-1e9\n")
        .expect("written");
    for line in ["score m.safetensors x.csv", "sample m.safetensors --context x.csv --out s.csv"] {
        run_in(folder.path(), line).expect(0, &[told]);
    }
    let near = run_in(folder.path(), "score m.safetensors train.csv --quiet").expect(0, &[]);
    assert!(!near.stderr.contains("far outside"), "{near:?}");
}

#[test]
fn rows_unlike_the_others_are_left_out_of_a_fit() {
    let folder = support::folder();
    // Two numbers of order one, the second twice the first but for a part; one row in ten is far away, where also a third column is not 0.
    let far = |i: u32| i % 10 == 9;
    let text: String = (0..300u32)
        .map(|i| match f64::from(i * 37 % 301) / 150.0 - 1.0 {
            x if far(i) => format!("{},{},{}\n", 40.0 * x, 90.0 - 50.0 * x, 1.0 + x),
            x => format!("{x},{},0\n", 2.0 * x + f64::from(i * 53 % 307) / 307.0),
        })
        .collect();
    fs::write(at(&folder, "t.csv"), format!("a,b,c\n{text}")).expect("written");
    let fit =
        format!("fit t.csv --columns a=real,b=real,c=real --out t.safetensors {}", support::TINY);
    run_in(folder.path(), &format!("{fit} --trim 0.7")).expect(2, &["--trim", "at most 0.5"]);
    run_in(folder.path(), &format!("{fit} --trim 0.2"))
        .expect(3, &["column \"c\"", "one value only", "--drop-constant"]);
    let line = format!("{fit} --trim 0.2 --drop-constant --json");
    let found = run_in(folder.path(), &line).expect(0, &[]).json();
    let learned =
        [&found["rows_train"], &found["rows_valid"]].map(|n| n.as_u64().expect("a count"));
    assert_eq!(learned.iter().sum::<u64>(), 240);
    let ran = run_in(folder.path(), "inspect t.safetensors").expect(0, &[]);
    assert!(ran.stdout.contains("60 left out as unlike the others"), "{ran:?}");
    let ran = run_in(folder.path(), "score t.safetensors t.csv --flag-ood=0").expect(0, &[]);
    let flags = column(&ran.stdout, "ood");
    assert!((0..300).filter(|i| far(*i)).all(|i| flags[i as usize] == "1"), "{flags:?}");
}

#[test]
fn e3_rows_outside_the_support_have_density_zero() {
    let folder = support::folder();
    let text: String = (1..200)
        .map(|i| format!("{},{}\n", f64::from(i * 37 % 199) / 7.0 + 0.1, f64::from(i * 53 % 197)))
        .collect();
    fs::write(at(&folder, "p.csv"), format!("p,q\n{text}")).expect("written");
    let line =
        format!("fit p.csv --columns p=positive,q=[-1,200] --out p.safetensors {}", support::TINY);
    run_in(folder.path(), &line).expect(0, &[]);
    fs::write(at(&folder, "x.csv"), "p,q\n1,5\n-1,5\n1,300\n0,5\n").expect("written");
    let ran = run_in(folder.path(), "score p.safetensors x.csv").expect(0, &["3 rows lie outside"]);
    let log_prob = column(&ran.stdout, "log_prob");
    assert!(log_prob[0].parse::<f64>().expect("a number").is_finite());
    assert!(log_prob[1..].iter().all(|l| l == "-inf"), "{log_prob:?}");
    let ran = run_in(folder.path(), "evaluate p.safetensors x.csv --json").expect(0, &[]);
    assert_eq!(ran.json()["log_prob_mean"], "-inf");
    assert_eq!(ran.json()["rows_outside_support"], 3);
}

#[test]
fn e6_no_samples_is_a_table_without_rows_and_huge_counts_are_accepted() {
    let folder = folder_with_model();
    let ran = run_in(folder.path(), "sample m.safetensors -n 0 --quiet").expect(0, &[]);
    assert_eq!(ran.stdout, "a,b\n");
    for (count, flag) in [("-1", "-n"), ("9223372036854775808", "-n"), ("1e6", "--rows")] {
        run_in(folder.path(), &format!("sample m.safetensors -n {count}")).expect(2, &[flag]);
    }
    run_in(folder.path(), "sample m.safetensors").expect(2, &["-n is missing"]);
    let mut child = diffeo() // 2^31 + 1 rows, of which a few are taken
        .args(["sample", "m.safetensors", "-n", "2147483649", "--seed", "1"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut head = [0; 50];
    std::io::Read::read_exact(&mut child.stdout.take().expect("piped"), &mut head).expect("rows");
    Ran::from(child.wait_with_output().expect("ends")).expect(0, &[]);
}

#[test]
fn e7_a_conditional_model_needs_its_context() {
    let folder = folder_with_conditional_model();
    run_in(folder.path(), "sample m.safetensors -n 3").expect(3, &["\"c\"", "--context"]);
    fs::write(at(&folder, "x.csv"), "a,b\n1,2\n").expect("written");
    run_in(folder.path(), "score m.safetensors x.csv").expect(3, &["\"c\""]);
    fs::write(at(&folder, "c.csv"), "c\n0.5\n-0.5\n").expect("written");
    let line = "sample m.safetensors --context c.csv --repeats 3 --seed 1 --with-log-prob --quiet";
    let ran = run_in(folder.path(), line).expect(0, &[]);
    assert_eq!(column(&ran.stdout, "c"), ["0.5", "0.5", "0.5", "-0.5", "-0.5", "-0.5"]);
    fs::write(at(&folder, "samples.csv"), &ran.stdout).expect("written");
    let scored =
        run_in(folder.path(), "score m.safetensors samples.csv --force --quiet").expect(0, &[]);
    for (drawn, scored) in
        column(&ran.stdout, "log_prob").iter().zip(column(&scored.stdout, "log_prob"))
    {
        let (drawn, scored): (f64, f64) =
            (drawn.parse().expect("a number"), scored.parse().expect("a number"));
        assert!((drawn - scored).abs() < 1e-3 * (1.0 + drawn.abs()), "{drawn} {scored}");
    }
    fs::write(at(&folder, "nan.csv"), "c\nnan\n").expect("written");
    run_in(folder.path(), "sample m.safetensors --context nan.csv").expect(3, &["nan.csv"]);
    let folder = folder_with_model();
    fs::write(at(&folder, "c.csv"), "c\n0.5\n").expect("written");
    run_in(folder.path(), "sample m.safetensors --context c.csv").expect(2, &["not conditional"]);
}

#[test]
fn e8_order_other_rows_and_threads_do_not_change_a_score() {
    let folder = folder_with_model();
    let text = fs::read_to_string(at(&folder, "train.csv")).expect("there");
    let (head, body) = text.split_once('\n').expect("lines");
    let reversed: Vec<&str> = body.lines().rev().collect();
    fs::write(at(&folder, "reversed.csv"), format!("{head}\n{}\n", reversed.join("\n")))
        .expect("written");
    fs::write(at(&folder, "one.csv"), format!("{head}\n{}\n", reversed[7])).expect("written");
    let score = |line: &str| {
        let ran =
            run_in(folder.path(), &format!("score m.safetensors {line} --quiet")).expect(0, &[]);
        column(&ran.stdout, "log_prob")
    };
    let all = score("train.csv --threads 1");
    assert_eq!(all, score("train.csv --threads 3"));
    let mut back = score("reversed.csv --threads 2");
    assert_eq!(score("one.csv")[0], back[7]);
    back.reverse();
    assert_eq!(all, back);
}

#[test]
fn e10_more_samples_begin_with_the_same_rows() {
    let folder = folder_with_model();
    let few = run_in(folder.path(), "sample m.safetensors -n 10 --seed 3 --threads 1 --quiet")
        .expect(0, &[])
        .stdout;
    let many = run_in(folder.path(), "sample m.safetensors -n 40000 --seed 3 --threads 2 --quiet")
        .expect(0, &[])
        .stdout;
    assert!(many.starts_with(&few));
    let other =
        run_in(folder.path(), "sample m.safetensors -n 10 --seed 4 --quiet").expect(0, &[]).stdout;
    assert_ne!(few, other);
}

#[test]
fn a12_columns_are_matched_by_name() {
    let folder = folder_with_model();
    fs::write(at(&folder, "ab.csv"), "a,b\n0.1,0.2\n").expect("written");
    fs::write(at(&folder, "ba.csv"), "note,b,a\nhello,0.2,0.1\n").expect("written");
    fs::write(at(&folder, "a.csv"), "a\n0.1\n").expect("written");
    let score = |name: &str| run_in(folder.path(), &format!("score m.safetensors {name} --quiet"));
    let swapped = score("ba.csv").expect(0, &[]).stdout;
    assert_eq!(column(&score("ab.csv").stdout, "log_prob"), column(&swapped, "log_prob"));
    assert!(swapped.starts_with("note,b,a,log_prob\nhello,0.2,0.1,"), "{swapped}");
    score("a.csv").expect(3, &["\"b\""]);
}

#[test]
fn scores_of_stdin_go_to_stdout_and_an_existing_column_is_not_lost() {
    let folder = folder_with_model();
    let mut child = diffeo()
        .args(["score", "m.safetensors", "-", "--quiet"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(b"a,b\n0.5,0.25\n").expect("written");
    let ran = Ran::from(child.wait_with_output().expect("ends")).expect(0, &[]);
    assert!(ran.stdout.starts_with("a,b,log_prob\n0.5,0.25,"), "{ran:?}");
    fs::write(at(&folder, "scored.csv"), &ran.stdout).expect("written");
    run_in(folder.path(), "score m.safetensors scored.csv").expect(3, &["log_prob", "--force"]);
    let again =
        run_in(folder.path(), "score m.safetensors scored.csv --force --quiet").expect(0, &[]);
    assert_eq!(again.stdout, ran.stdout);
    run_in(folder.path(), "score m.safetensors scored.csv --json").expect(2, &["--out"]);
}

#[test]
fn e4_verify_adds_the_round_trip_error() {
    let folder = folder_with_model();
    let ran =
        run_in(folder.path(), "score m.safetensors train.csv --verify --quiet").expect(0, &[]);
    for error in column(&ran.stdout, "round_trip_error") {
        assert!(error.parse::<f64>().expect("a number") < 1e-2, "{error}");
    }
    assert!(!ran.stderr.contains("round_trip_error"), "nothing to warn of: {ran:?}");
}

#[test]
fn e4_verify_counts_the_rows_where_the_model_is_not_invertible() {
    let folder = folder_with_model();
    // Beyond 1e8 spreads single precision cannot tell a row from its neighbours.
    fs::write(at(&folder, "far.csv"), "a,b\n0.1,0.2\n1e30,-1e30\n0.3,0.1\n").expect("written");
    let line = "score m.safetensors far.csv --verify --out s.csv --json";
    let ran = run_in(folder.path(), line).expect(0, &["1 rows do not come back", "1e-2"]);
    assert_eq!(ran.json()["rows_not_invertible"], 1);
    let errors =
        column(&fs::read_to_string(at(&folder, "s.csv")).expect("there"), "round_trip_error");
    let above = |e: &String| e.parse::<f64>().map_or(true, |e| e.is_nan() || e > 1e-2);
    assert_eq!(errors.iter().map(above).collect::<Vec<_>>(), [false, true, false]);
}
