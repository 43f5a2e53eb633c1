//! Configuration and arguments: cases B1 to B5, B7 and B8.

mod support;

use support::{Ran, TINY, diffeo, folder, run_in};

fn with_config(text: &str) -> Ran {
    let folder = folder();
    std::fs::write(folder.path().join("run.toml"), text).expect("written");
    run_in(folder.path(), "fit --config run.toml")
}

#[test]
fn b1_unknown_keys_are_refused_all_at_once_with_suggestions() {
    let ran = with_config(
        "theads = 2\n[fit]\nlearing_rate = 0.1\nepoch = 3\n[score]\nnonfinit = 'keep'\n",
    );
    let ran = ran.expect(
        2,
        &["line 1: unknown key \"theads\"; did you mean \"threads\"?", "line 3", "learning-rate"],
    );
    assert!(ran.stderr.contains("did you mean \"epochs\"?"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean \"nonfinite\"?"), "{ran:?}");
}

#[test]
fn b1_misplaced_keys_are_told_their_place() {
    with_config("seed = 1\n[fit]\nthreads = 2\nmissing = 'drop'\n").expect(
        2,
        &["such as [fit]", "stands at the top of the file", "stands in the table [read]"],
    );
}

#[test]
fn b2_wrong_types_name_line_and_key() {
    with_config("[fit]\nepochs = 'abc'\nbatch = true\nhidden = [[1]]\nmodel = 3\n")
        .expect(2, &["line 2: key \"epochs\"", "line 3: key \"batch\"", "line 4: key \"hidden\""]);
}

#[test]
fn b2_duplicate_keys_are_refused() {
    with_config("[fit]\nlr = 0.1\nlr = 0.2\n").expect(2, &["line 3: duplicate key"]);
}

#[test]
fn b2_deep_nesting_is_refused_quickly_and_briefly() {
    let ran =
        with_config(&format!("[fit]\ncolumns = {}", "[".repeat(100_000))).expect(2, &["recurs"]);
    assert!(ran.stderr.len() < 2000, "{}", ran.stderr.len());
}

#[test]
fn b2_large_and_binary_files_are_refused() {
    with_config(&"#".repeat((1 << 20) + 1)).expect(2, &["at most 1048576 bytes"]);
    let folder = folder();
    std::fs::write(folder.path().join("run.toml"), [0xff, 0xfe, 0]).expect("written");
    run_in(folder.path(), "fit --config run.toml").expect(2, &["UTF-8"]);
    run_in(folder.path(), "fit --config nothing.toml").expect(5, &["nothing.toml"]);
}

#[test]
fn b3_all_ranges_are_checked_at_once() {
    let folder = folder();
    let ran = run_in(
        folder.path(),
        "fit train.csv --out m.safetensors --lr nan --batch 0 --bins 1 --transforms 1000000000 --hidden 0,1000000000 \
         --clip-norm -1 --warmup 2 --average 1 --patience 0 --epochs inf --steps 0 --checkpoint-every 0 --threads 0 --base x",
    )
    .expect(2, &["faults in the options"]);
    for option in [
        "--lr",
        "--batch",
        "--bins",
        "--transforms",
        "--hidden",
        "--clip-norm",
        "--warmup",
        "--average",
        "--patience",
        "--epochs",
        "--steps",
        "--checkpoint-every",
        "--threads",
        "--base",
    ] {
        assert!(
            ran.stderr.contains(&format!("{option}: expected")) || ran.stderr.contains(option),
            "{option}: {ran:?}"
        );
    }
    assert!(
        ran.stderr.contains("--bins: expected a whole number from 2 to 256, found 1"),
        "{ran:?}"
    );
}

#[test]
fn b3_each_value_out_of_range_is_refused() {
    let folder = folder();
    for option in [
        "--lr 0",
        "--lr -1",
        "--lr inf",
        "--batch -5",
        "--bins 0",
        "--bins 257",
        "--transforms 0",
        "--transforms 501",
        "--bound 0",
        "--epochs 0",
        "--steps -1",
        "--max-time 10",
        "--max-time -5m",
        "--max-time 0s",
        "--valid 1",
        "--valid -0.1",
        "--threads -1",
        "--max-memory 0",
        "--delimiter ab",
        "--format word",
        "--precision f16",
        "--max-rows 0",
        "--hidden x",
    ] {
        let line = format!("fit train.csv --out m.safetensors {option}");
        let flag = option.split(' ').next().expect("a flag");
        run_in(folder.path(), &line).expect(2, &[flag]);
    }
}

#[test]
fn b4_models_beyond_memory_are_refused_with_their_size() {
    let folder = folder();
    let ran = run_in(
        folder.path(),
        "fit train.csv --out m.safetensors --columns a,b --hidden 65536,65536,65536,65536 --transforms 500 --quiet",
    );
    // Three products of 65536 x 65536 in each of 500 networks, four bytes a number: 25.8 TB and a little more.
    let ran = ran.expect(2, &["parameters", "GB)", "at most 2147483648"]);
    let (_, size) = ran.stderr.split_once("parameters (").expect("the size");
    let size: f64 = size.split(' ').next().expect("a number").parse().expect("a number");
    assert!((25_769.0..25_900.0).contains(&size), "{ran:?}");
    run_in(
        folder.path(),
        "fit train.csv --out m.safetensors --columns a,b --hidden 65536,65536 --transforms 1",
    )
    .expect(2, &["parameters (", "GB)"]);
    assert_eq!(support::names(folder.path()), ["train.csv"]);
}

#[test]
fn b3_a_batch_beyond_the_rows_is_said() {
    let folder = folder();
    let tiny = TINY.replace(" --quiet", "");
    let fit = |batch| {
        let line = format!("fit train.csv --out m.safetensors --force {tiny}");
        run_in(folder.path(), &line.replace("--batch 64", &format!("--batch {batch}")))
            .expect(0, &[])
            .stderr
    };
    let said = fit(1000);
    assert!(said.contains("--batch 1000 is more") && said.contains("takes all 360"), "{said}");
    assert!(!fit(360).contains("is more than there are"));
}

#[test]
fn b5_a_bound_smaller_than_the_data_is_warned_about_with_the_share_outside() {
    let folder = folder();
    let fit = |bound: &str| {
        let line = format!("fit train.csv --columns a,b --out m.safetensors --force --json {TINY}");
        run_in(folder.path(), &line.replace("maf", &format!("nsf --bound {bound}"))).expect(0, &[])
    };
    let ran = fit("0.1").expect(0, &["warning: 9", "[-0.1, 0.1]", "larger bound"]);
    let warnings = ran.json()["warnings"].as_array().expect("a list").clone();
    assert!(warnings.len() == 1 && warnings[0].as_str().expect("text").contains("box"), "{ran:?}");
    let shown = run_in(folder.path(), "inspect m.safetensors").expect(0, &[]).stdout;
    assert!(shown.contains("warned: 9"), "{shown}");
    let ran = fit("5");
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
    assert_eq!(ran.json()["warnings"].as_array().map(Vec::len), Some(0));
}

#[test]
fn p20_a_column_squeezed_by_a_few_extreme_values_is_warned_about() {
    let folder = folder();
    let text = std::fs::read_to_string(folder.path().join("train.csv")).expect("there");
    std::fs::write(folder.path().join("train.csv"), format!("{text}1e6,0.1,0.2\n"))
        .expect("written");
    let ran =
        run_in(folder.path(), &format!("fit train.csv --columns a,b --out m.safetensors {TINY}"));
    ran.expect(0, &["warning: column \"a\"", "extreme values"]);
}

#[test]
fn b5_combinations_that_cannot_be_are_explained() {
    let folder = folder();
    let fit = |options: &str| {
        run_in(folder.path(), &format!("fit train.csv --out m.safetensors {options}"))
    };
    fit("--columns a --model realnvp").expect(2, &["coupling", "at least 2"]);
    fit("--columns a --context d").expect(3, &["\"d\""]);
    fit("--columns a,b --context b").expect(2, &["\"b\"", "--columns", "--context"]);
    fit("--columns a,b --weight b --exclude a").expect(2, &["--weight", "--exclude"]);
    fit("--epochs 3 --steps 5").expect(2, &["--epochs and --steps"]);
    fit("--patience 3 --valid 0").expect(2, &["--patience"]);
    fit("--columns a --context c --model gaussian").expect(2, &["gaussian"]);
    fit("--columns a,a").expect(2, &["named twice"]);
}

#[test]
fn b7_a_seed_is_drawn_printed_and_stored() {
    let folder = folder();
    let tiny = TINY.replace(" --quiet", "");
    let ran = run_in(folder.path(), &format!("fit train.csv --out m.safetensors --json {tiny}"))
        .expect(0, &["seed "]);
    let seed = ran.json()["seed"].as_u64().expect("a seed");
    assert!(ran.stderr.contains(&format!("seed {seed} (drawn")), "{ran:?}");
    let shown = run_in(folder.path(), "inspect m.safetensors --json").json();
    assert_eq!(shown["training"]["seed"].as_u64(), Some(seed));
}

#[test]
fn b7_seeds_out_of_range_are_refused() {
    let folder = folder();
    for seed in ["-1", "18446744073709551616", "99999999999999999999999999999999999999999"] {
        run_in(folder.path(), &format!("fit train.csv --out m.safetensors --seed {seed}"))
            .expect(2, &["seed"]);
    }
    let line = format!("fit train.csv --out m.safetensors --seed 18446744073709551615 {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
}

#[test]
fn b8_the_environment_does_not_change_numbers() {
    let folder = folder();
    let line = format!("fit train.csv --columns a,b --seed 3 --out m.safetensors --force {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    let reference =
        run_in(folder.path(), "sample m.safetensors -n 20 --seed 5 --quiet").expect(0, &[]).stdout;
    for (name, value) in [
        ("LC_ALL", "de_DE.UTF-8"),
        ("LC_NUMERIC", "de_DE"),
        ("OMP_NUM_THREADS", "0"),
        ("TZ", "nowhere"),
        ("RAYON_NUM_THREADS", "7"),
    ] {
        let mut fit = diffeo();
        fit.args(line.split_whitespace()).current_dir(folder.path()).env(name, value);
        Ran::from(fit.output().expect("runs")).expect(0, &[]);
        let mut sample = diffeo();
        sample
            .args("sample m.safetensors -n 20 --seed 5 --quiet".split(' '))
            .current_dir(folder.path())
            .env(name, value);
        assert_eq!(Ran::from(sample.output().expect("runs")).stdout, reference, "{name}");
    }
}

#[test]
fn a_file_holds_all_that_the_flags_do() {
    let folder = folder();
    let text = "threads = 1\nquiet = true\njson = true\n[fit]\ndata = 'train.csv'\nout = 'm.safetensors'\nmodel = 'maf'\n\
                transforms = 1\nhidden = [8]\nsteps = 5\nbatch = 64\nseed = 9\n[fit.columns]\nb = 'real'\na = [-9, 9.5]\n";
    std::fs::write(folder.path().join("run.toml"), text).expect("written");
    let ran = run_in(folder.path(), "fit --config run.toml --steps 7").expect(0, &[]);
    assert_eq!(ran.json()["steps"], 7, "flags win");
    let schema = run_in(folder.path(), "inspect m.safetensors --json").json()["schema"].clone();
    assert_eq!(schema["columns"][0]["name"], "b");
    assert_eq!(schema["columns"][1]["kind"]["high"]["closed"], 9.5, "a square bracket includes");
}
