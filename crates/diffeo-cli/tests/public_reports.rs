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
        fits(name, "", &["mu", "tau"], &["comment"]);
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
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "m11_bool.csv", "").expect(0, &[]);
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).json();
    let flag = &inspected["schema"]["columns"][0];
    assert_eq!((&flag["kind"]["kind"], &flag["levels"][1]), (&"boolean".into(), &"True".into()));
    let drawn = run_in(folder.path(), "sample m.safetensors -n 50 --seed 1 --quiet").stdout;
    let words = support::column(&drawn, "flag");
    assert!(words.iter().all(|word| word == "True" || word == "False"), "{words:?}");
}

#[test]
fn m10_a_category_of_words_is_modelled_or_given() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "m10_cat.csv", "").expect(0, &[]);
    // Over the words, one that no row has, and a fine grid of numbers the density sums to one.
    let words = ["elm", "oak", "ash"];
    let grid = |word: &str| -> String {
        (-400..400).map(|i| format!("{word},{}\n", 0.05 * f64::from(i))).collect()
    };
    let table = folder.path().join("grid.csv");
    let rows: String = words.iter().map(|word| grid(word)).collect();
    std::fs::write(&table, format!("kind,x\n{rows}")).unwrap();
    let total: f64 = scores(folder.path(), &table).iter().map(|p| p.exp() * 0.05).sum();
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).json();
    let levels = inspected["schema"]["columns"][0]["levels"].as_array().unwrap().len();
    assert_eq!(levels, 2, "{inspected}");
    assert!((total - 1.0).abs() < 0.01, "{total}");
    fit(folder.path(), "m10_cat.csv", "--columns x --context kind --force").expect(0, &[]);
    let given: f64 = scores(folder.path(), &table).iter().map(|p| p.exp() * 0.05).sum();
    assert!((given - 3.0).abs() < 0.03, "{given}");
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

#[test]
fn m1_a_model_too_narrow_for_one_column_given_another_fails_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let (narrow, truth) = (case("m1_narrow.csv"), case("m1_true.csv"));
    for (columns, number) in [("", "number 2"), ("--columns z --context x", "number 1")] {
        let line = format!(
            "fit {} --out m.safetensors --force --seed 1 --steps 600 --quiet {columns}",
            narrow.display()
        );
        run_in(folder.path(), &line).expect(0, &[]);
        let check = |table: &Path| {
            run_in(folder.path(), &format!("check m.safetensors {} --json", table.display()))
        };
        check(&narrow).expect(0, &[]);
        let found = check(&truth).expect(1, &[]).json();
        let failed: Vec<&serde_json::Value> =
            found["checks"].as_array().unwrap().iter().filter(|c| c["passed"] == false).collect();
        let names: Vec<&str> = failed.iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"base_numbers") && names.contains(&"coverage"), "{names:?}");
        let detail =
            failed.iter().find(|c| c["name"] == "base_numbers").unwrap()["detail"].to_string();
        assert!(detail.contains(number) && detail.contains("too narrow"), "{detail}");
    }
}

#[test]
fn m5_weights_count_after_the_fit_as_they_did_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = case("m5_weights.csv").display().to_string();
    let run = |line: String| run_in(folder.path(), &line);
    run(format!("fit {table} --weight w --out m.safetensors --seed 1 --quiet --steps 400"))
        .expect(0, &[]);
    run(format!("check m.safetensors {table} --weight w")).expect(0, &["kept by their weight"]);
    // As if all rows counted alike, the model is another population's.
    assert_eq!(run(format!("check m.safetensors {table}")).code, 1);
    let mean = |more: &str| {
        let ran = run(format!("evaluate m.safetensors {table} --json {more}")).expect(0, &[]);
        ran.json()["log_prob_mean"].as_f64().unwrap()
    };
    assert!(mean("--weight w") > mean("") + 0.15);
    run(format!("evaluate m.safetensors {table}")).expect(0, &["count by their column \"w\""]);
    run(format!("plot m.safetensors {table} --weight w --out m.png --kind marginals"))
        .expect(0, &["kept by their weight"]);
    run(format!("evaluate m.safetensors {table} --weight v")).expect(3, &["\"v\""]);
}

#[test]
fn m4_a_row_far_from_all_but_one_is_flagged_by_a_quantile() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: String| run_in(folder.path(), &line);
    let (train, test) = (case("m4_train.csv"), case("m4_test.csv"));
    run(format!("fit {} --out m.safetensors --seed 1 --quiet --steps 300", train.display()))
        .expect(0, &["a few extreme values set the scale"]);
    let score = |q: &str| {
        run(format!("score m.safetensors {} --flag-ood={q} --out s.csv --force", test.display()))
    };
    score("0.01").expect(0, &["1 rows are flagged"]);
    let text = std::fs::read_to_string(folder.path().join("s.csv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["a", "log_prob", "tail_probability", "ood"]);
    let share = |row: usize| lines[row][2].parse::<f64>().unwrap();
    assert!(
        share(1) > 0.05 && share(2) < 0.01 && [lines[1][3], lines[2][3]] == ["0", "1"],
        "{text}"
    );
    score("1.5").expect(2, &["--flag-ood", "share"]);
}

#[test]
fn m8_parts_of_a_whole_are_warned_of_also_when_rounded() {
    for name in ["m8_sum5.csv", "m8_sum4.csv"] {
        let folder = tempfile::tempdir().unwrap();
        fit(folder.path(), name, "").expect(0, &["\"c\": a linear combination of other columns"]);
        // The advice helps.
        let ran = fit(folder.path(), name, "--exclude c --force").expect(0, &[]);
        assert!(!ran.stderr.contains("combination"), "{ran:?}");
    }
}

#[test]
fn c14_dates_written_as_numbers_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "c14_yyyymmdd.csv", "").expect(0, &["\"day\"", "YYYYMMDD", "date"]);
    // The advice helps: samples are dates.
    fit(folder.path(), "c14_yyyymmdd.csv", "--columns day=date,x --force").expect(0, &[]);
    let drawn = run_in(folder.path(), "sample m.safetensors -n 200 --seed 1 --quiet").stdout;
    let years = support::column(&drawn, "day");
    assert!(years.iter().all(|day| day.len() == 10 && day.starts_with("20")), "{years:?}");
    let scored = scores(folder.path(), &case("c14_yyyymmdd.csv"));
    assert!(scored.len() > 100 && scored.iter().all(|p| p.is_finite()), "{scored:?}");
}

#[test]
fn m15_copies_of_rows_do_not_judge_themselves() {
    // 200 points of a standard normal of four columns, each five times: the entropy is 5.68 nats.
    let mut rng = diffeo::Streams::new(3).rng(diffeo::Purpose::Check, 0, 0);
    let mut rows: Vec<String> = Vec::new();
    for i in 0..200 {
        let cells: Vec<String> =
            (0..4).map(|_| format!("{:.9}", diffeo::normal(&mut rng))).collect();
        (0..5)
            .for_each(|copy| rows.insert((i * 7 + copy * 131) % (rows.len() + 1), cells.join(",")));
    }
    let folder = tempfile::tempdir().unwrap();
    let table = format!("a,b,c,d\n{}\n", rows.join("\n"));
    std::fs::write(folder.path().join("copies.csv"), table).unwrap();
    let line = "fit copies.csv --out m.safetensors --seed 1 --json --quiet --steps 400";
    let ran = run_in(folder.path(), line).expect(0, &["--weight"]);
    let found = ran.json()["valid_log_prob_mean"].as_f64().unwrap();
    assert!((found + 5.68).abs() < 0.6, "{found}");
}

#[test]
fn m9_fewer_rows_than_columns_are_warned_of_and_fitted_by_a_model_that_can() {
    let tables = [
        "v0,v1,v2,v3,v4\n1.4132,1.8018,-0.36916,-0.46627,-0.85567\n1.3646,0.50021,2.2611,0.083515,-0.82064\n".to_owned(),
        (0..3).fold(
            (0..50).map(|i| format!("v{i}")).collect::<Vec<_>>().join(",") + "\n",
            |table, row| {
                let cell = |i: i32| format!("{:.4}", f64::from(row * 37 + i * 11).sin());
                table + &(0..50).map(cell).collect::<Vec<_>>().join(",") + "\n"
            },
        ),
    ];
    for (table, rows) in tables.iter().zip([2, 3]) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("few.csv"), table).unwrap();
        let run = |line: &str| run_in(folder.path(), line);
        let texts = [format!("{rows} rows for "), "--model gaussian".to_owned()];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let fit = run("fit few.csv --out m.safetensors --seed 1 --quiet --valid 0 --json")
            .expect(0, &texts);
        assert!(fit.json()["parameters"].as_u64().unwrap() < 3000, "{fit:?}");
        let samples = run("sample m.safetensors -n 50 --out -").expect(0, &[]).stdout;
        assert!(
            samples.lines().count() == 51 && !samples.contains("NaN") && !samples.contains("inf")
        );
        let mean = run("evaluate m.safetensors few.csv --json").expect(0, &[]).json();
        assert!(mean["log_prob_mean"].as_f64().unwrap().is_finite(), "{mean}");
        // One row has no covariance at all, and goes on as before.
        std::fs::write(folder.path().join("one.csv"), "a,b\n3,4\n").unwrap();
        run(&format!("fit one.csv --out o.safetensors {TINY} --valid 0")).expect(0, &["one row"]);
        // A model or an order that was asked for is taken, with the warning.
        run(&format!("fit few.csv --out p.safetensors --order given {TINY} --valid 0"))
            .expect(0, &texts[..1]);
        run(&format!("fit few.csv --out n.safetensors --model maf {TINY} --valid 0"))
            .expect(0, &texts[..1]);
    }
}

/// The values of a column of samples of the model in a folder.
fn samples(folder: &Path, n: usize, column: &str) -> Vec<f64> {
    run_in(folder, &format!("sample m.safetensors -n {n} --seed 2 --out s.csv")).expect(0, &[]);
    let text = std::fs::read_to_string(folder.join("s.csv")).unwrap();
    let mut lines = text.lines();
    let place = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
    lines.map(|line| line.split(',').nth(place).unwrap().parse().unwrap()).collect()
}

/// The log-densities of a table under the model in a folder.
fn scores(folder: &Path, table: &Path) -> Vec<f64> {
    let table = table.display();
    run_in(folder, &format!("score m.safetensors {table} --out scored.csv --force")).expect(0, &[]);
    let text = std::fs::read_to_string(folder.join("scored.csv")).unwrap();
    text.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn m3_zeros_and_ones_are_a_boolean() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "m3_bool.csv", "--columns ok").expect(0, &[]);
    let inspected = run_in(folder.path(), "inspect m.safetensors --json").expect(0, &[]).json();
    assert_eq!(inspected["schema"]["columns"][0]["kind"]["kind"], "boolean");
    assert!(samples(folder.path(), 1000, "ok").iter().all(|ok| *ok == 0.0 || *ok == 1.0));
    let both = folder.path().join("both.csv");
    std::fs::write(&both, "ok\n0\n1\n").unwrap();
    let sum: f64 = scores(folder.path(), &both).iter().map(|p| p.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
}

#[test]
fn m12_values_on_closed_bounds_are_scored_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "m12_closed.csv", "--columns u=[0,1]").expect(0, &[]);
    let scored = scores(folder.path(), &case("m12_closed.csv"));
    assert!(scored.len() == 62 && scored.iter().all(|p| p.is_finite()), "{scored:?}");
    let drawn = samples(folder.path(), 2000, "u");
    assert!(drawn.contains(&0.0) && drawn.iter().all(|u| (0.0..=1.0).contains(u)));
}

#[test]
fn c01_zeros_beside_a_density_are_a_point_mass() {
    let folder = tempfile::tempdir().unwrap();
    fit(folder.path(), "c01_train.csv", "--columns x=positive+{0},y --lr 0.02 --steps 200")
        .expect(0, &[]);
    let drawn = samples(folder.path(), 4000, "x");
    let zeros = drawn.iter().filter(|x| **x == 0.0).count() as f64 / 4000.0;
    assert!((zeros - 1.0 / 3.0).abs() < 0.05, "{zeros}");
    assert!(drawn.iter().all(|x| *x >= 0.0));
    assert!(scores(folder.path(), &case("c01_test.csv")).iter().all(|p| p.is_finite()));
}

#[test]
fn c18_an_angle_has_one_density_on_both_sides_of_the_seam() {
    let folder = tempfile::tempdir().unwrap();
    let file = case("c18_train.csv").display().to_string();
    let fit =
        "--columns phi=periodic[0,6.283185307179586) --hidden 16 --steps 400 --lr 0.02 --seed 1";
    run_in(folder.path(), &format!("fit {file} --out m.safetensors {fit}")).expect(0, &[]);
    let test = scores(folder.path(), &case("c18_test.csv"));
    let mean = test.iter().sum::<f64>() / test.len() as f64;
    assert!((mean + 0.809).abs() < 0.03, "{mean}");
    let seam = scores(folder.path(), &case("c18_seam.csv"));
    assert!((seam[0] - seam[1]).abs() < 0.1 && (seam[0] + 0.263).abs() < 0.1, "{seam:?}");
}
