//! Inputs rebuilt from public reports, each under its name, through the commands that people ran.

mod support;

use std::path::{Path, PathBuf};

use support::{Ran, TINY, run_in};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// Fits the table of a case with a tiny model; the folder holds what it wrote.
fn fit(folder: &Path, name: &str, arguments: &str) -> Ran {
    let file = case(name).display().to_string();
    run_in(folder, &format!("fit {file} --out m.safetensors --seed 1 {TINY} {arguments}"))
}

/// Fits, and checks that the model has these columns and stderr these texts.
#[track_caller]
fn fits(name: &str, arguments: &str, columns: &[&str], texts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), name, arguments).expect(0, texts);
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).json();
    let found: Vec<&str> = inspected["schema"]["columns"]
        .as_array()
        .unwrap_or_else(|| panic!("{inspected}"))
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, columns, "{name}");
}

#[test]
fn m6_comments_before_inside_and_behind_the_rows() {
    for name in ["m6_stan.csv", "m6_stan2.csv"] {
        fits(name, "", &["mu", "tau"], &["comments"]);
    }
}

#[test]
fn m7_columns_set_with_blanks() {
    for name in ["m7_ws.txt", "m7_ws1.txt"] {
        fits(name, "", &["a", "b"], &[]);
    }
}

#[test]
fn c07_a_header_that_is_a_comment() {
    fits("c07_savetxt_comma.csv", "", &["omega", "sigma8"], &["comment before the first row"]);
}

#[test]
fn c06_names_of_rows_from_r() {
    fits("c06_R.txt", "", &["u", "v", "w"], &["names the row"]);
}

#[test]
fn m11_words_for_true_and_false() {
    fits("m11_bool.csv", "", &["flag", "x"], &[]);
}

#[test]
fn m13_zeros_behind_a_gzip_file() {
    let folder = tempfile::tempdir().unwrap();
    let ran = fit(folder.path(), "m13_zero.csv.gz", "");
    assert!(!ran.stderr.contains("damaged") && ran.code == 0, "{ran:?}");
}

#[test]
fn c38_a_column_whose_values_come_late_is_refused_by_name_or_used() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "c38_late.csv.gz", "").expect(3, &["\"late\" 70000", "--missing drop"]);
    fits(
        "c38_late.csv.gz",
        "--missing drop",
        &["late", "x"],
        &["70000 of 70500 rows were left out"],
    );
}

#[test]
fn c15_a_column_without_a_value_is_left_out_with_a_warning_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let table: String =
        (0..60).map(|i| format!("{},,{}\n", (i * 37 % 61) as f64 * 0.13, i % 7)).collect();
    std::fs::write(folder.path().join("e.csv"), format!("a,empty,b\n{table}")).unwrap();
    let line = format!("fit e.csv --out e.safetensors --seed 1 --quiet --json {TINY}");
    let ran = run_in(folder.path(), &line).expect(0, &[]);
    assert!(
        ran.json()["warnings"].to_string().contains("no value in any row: \\\"empty\\\""),
        "{ran:?}"
    );
    let ran = fit(folder.path(), "c15_nulltype.parquet", "--quiet --json").expect(0, &[]);
    assert!(ran.json()["warnings"].to_string().contains("no value in any row"), "{ran:?}");
    // Asked for by name, the advice is one that helps.
    let line = format!("fit e.csv --out f.safetensors --seed 1 --columns a,empty {TINY}");
    for more in ["", "--missing drop"] {
        run_in(folder.path(), &format!("{line} {more}")).expect(3, &["\"empty\"", "--exclude"]);
    }
}

#[test]
fn m2_the_row_index_that_pandas_stored_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "m2_index.parquet", "").expect(0, &["row numbers that pandas stored"]);
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).stdout;
    assert!(!inspected.contains("__index_level_0__"), "{inspected}");
}

#[test]
fn c25_names_with_commas_and_equals_signs() {
    fits(
        "c25_names.csv",
        "",
        &["distance, km", "price=usd", "[OIII]", "the \"big\" one", "a b", "µ", "x:y"],
        &[],
    );
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "c25_names.csv", "--columns price=usd,x:y").expect(2, &["double quotes"]);
    fit(folder.path(), "c25_names.csv", "--columns distance,x:y").expect(3, &["double quotes"]);
    fits("c25_names.csv", "--columns \"price=usd\",x:y", &["price=usd", "x:y"], &[]);
    let help = support::run(["fit", "--help"]);
    assert!(help.stdout.contains("double quotes"), "{}", help.stdout);
}
