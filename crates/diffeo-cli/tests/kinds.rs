//! Categories, truth values, dates, angles, point masses and holes through every command.

mod support;

use std::fs;
use std::path::Path;

use diffeo_table::{Chunk, Output, Writer};
use support::{TINY, at, column, run_in};
use tempfile::TempDir;

/// Numbers that look random, in (0, 1).
fn uniform(i: usize) -> f64 {
    ((i + 1) as f64 * 0.618_033_988_749_894_9).fract()
}

/// A folder with `t.csv`: a category, truth values, dates, an angle, a zero-inflated number, and holes in half of these.
fn mixed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| {
        let town = ["Ulm", "Köln", "Bonn, old", "", "Ulm"][i * 7 % 5];
        let ok = ["yes", "no", "no"][i % 3];
        let day = format!("2024-{:02}-{:02}", 1 + i % 12, 1 + i % 28);
        let hour = 24.0 * uniform(3 * i);
        let rain = if i.is_multiple_of(4) { 0.0 } else { -uniform(i).ln() };
        let x = if i.is_multiple_of(10) {
            String::new()
        } else {
            format!("{:.6}", uniform(7 * i) - 0.5)
        };
        format!("\"{town}\",{ok},{day},{hour:.5},{rain:.6},{x}\n")
    };
    let rows: String = (0..300).map(row).collect();
    fs::write(at(&folder, "t.csv"), format!("town,ok,day,hour,rain,x\n{rows}")).unwrap();
    folder
}

fn json(folder: &Path, line: &str) -> serde_json::Value {
    run_in(folder, line).expect(0, &[]).json()
}

/// The scores of a table, all finite.
fn finite_scores(folder: &Path, table: &str) -> Vec<f64> {
    let ran = run_in(folder, &format!("score m.safetensors {table} --quiet")).expect(0, &[]);
    let scores = ran.stdout.lines().skip(1).map(|line| line.rsplit(',').next().unwrap());
    let scores: Vec<f64> = scores.map(|score| score.parse().unwrap()).collect();
    assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
    scores
}

#[test]
fn a_table_of_all_kinds_goes_through_all_commands() {
    let folder = mixed();
    let run = |line: &str| run_in(folder.path(), line);
    let kinds = "town,ok,day,hour=periodic[0,24),rain,x";
    let line = format!("fit t.csv --columns {kinds} --missing model --seed 1 --out m.safetensors");
    let fit = run(&format!("{line} {}", TINY.replace("--quiet", ""))).expect(
        0,
        &[
            "town=category or missing",
            "ok=boolean",
            "day=date",
            "hour=periodic[0, 24)",
            "rain=positive+{0}",
            "beside a point mass at 0 (25% of the rows)",
            "missing in 20.0% of the rows",
            "x=real or missing",
        ],
    );
    assert!(!fit.stderr.contains("left out"), "{fit:?}");
    assert_eq!(finite_scores(folder.path(), "t.csv --threads 1").len(), 300);
    let mean = json(folder.path(), "evaluate m.safetensors t.csv --json");
    assert!(mean["log_prob_mean"].as_f64().unwrap().is_finite(), "{mean}");
    run("check m.safetensors t.csv --rows 200").expect_one_of(&[0, 1]);
    for kind in ["pairs", "marginals", "calibration"] {
        run(&format!("plot m.safetensors t.csv --out {kind}.svg --kind {kind}")).expect(0, &[]);
    }
    run("plot m.safetensors --out p.png").expect(0, &[]);
    let inspected = run("inspect m.safetensors").expect(0, &[]).stdout;
    for text in ["category or missing, 3 levels", "boolean, no and yes", "positive+{0}"] {
        assert!(inspected.contains(text), "{text}: {inspected}");
    }
    let help = run("fit --help").stdout;
    assert!(help.contains("positive+{0} ") && help.contains("periodic[0,24) "), "{help}");
    // Samples are cells like those of the table, in text and in types, and score as they are.
    for name in ["s.csv", "s.parquet"] {
        run(&format!("sample m.safetensors -n 400 --seed 3 --out {name}")).expect(0, &[]);
        finite_scores(folder.path(), name);
    }
    let text = fs::read_to_string(at(&folder, "s.csv")).unwrap().replace("\"Bonn, old\"", "Bonn");
    let all = |name: &str, good: &dyn Fn(&str) -> bool| {
        column(&text, name).iter().for_each(|cell| assert!(good(cell), "{name} {cell:?}"));
    };
    all("town", &|cell| ["Ulm", "Köln", "Bonn", ""].contains(&cell));
    all("ok", &|cell| ["yes", "no"].contains(&cell));
    all("day", &|cell| cell.len() == 10 && cell.starts_with("20"));
    all("hour", &|cell| (0.0..24.0).contains(&cell.parse::<f64>().unwrap()));
    all("rain", &|cell| cell.parse::<f64>().unwrap() >= 0.0);
    let zeros = column(&text, "rain").iter().filter(|cell| *cell == "0.0").count();
    assert!(zeros > 20, "{zeros}");
    run("sample m.safetensors -n 5 --out s.npy").expect(3, &["npy holds only numbers", "Parquet"]);
    run("plot m.safetensors --out d.png --kind density").expect(2, &["two columns of numbers"]);
}

#[test]
fn holes_are_drawn_as_often_as_they_are_in_the_table() {
    let folder = mixed();
    let line = "fit t.csv --columns town,x --missing model --seed 1 --out m.safetensors --hidden 8 \
                --transforms 1 --steps 150 --lr 0.02 --quiet";
    run_in(folder.path(), line).expect(0, &[]);
    finite_scores(folder.path(), "t.csv");
    let drawn = run_in(folder.path(), "sample m.safetensors -n 4000 --seed 1 --quiet").stdout;
    let drawn = drawn.replace("\"Bonn, old\"", "Bonn");
    // Of 300 rows: within three standard errors of what they tell.
    for (name, share) in [("town", 0.2), ("x", 0.1)] {
        let holes = column(&drawn, name).iter().filter(|cell| cell.is_empty()).count() as f64;
        let error = 3.0 * (share * (1.0 - share) / 300.0_f64).sqrt();
        assert!((holes / 4000.0 - share).abs() < error, "{name} {holes}");
    }
    // Where nothing is said, they are refused or left out as ever.
    let line = format!("fit t.csv --columns town,x --seed 1 --out n.safetensors {TINY}");
    run_in(folder.path(), &line).expect(3, &["90 values are missing", "--missing model"]);
    run_in(folder.path(), &format!("{line} --missing drop")).expect(0, &["rows were left out"]);
    run_in(folder.path(), "score n.safetensors t.csv").expect(3, &["values are missing"]);
}

#[test]
fn what_is_missing_is_drawn_given_what_is_there() {
    let folder = mixed();
    let run = |line: &str| run_in(folder.path(), line);
    let kinds = "town,ok,day,hour=periodic[0,24),rain,x";
    let fit = format!("fit t.csv --columns {kinds} --any-subset --seed 1 --out m.safetensors");
    run(&format!("{fit} --missing model {TINY}")).expect(2, &["--any-subset", "give one of them"]);
    run(&format!("{fit} {TINY}")).expect(0, &[]);
    let shown = run("inspect m.safetensors").stdout;
    assert!(shown.contains("may be left out or given"), "{shown}");
    // Rows with holes have the density of what they have.
    assert_eq!(finite_scores(folder.path(), "t.csv").len(), 300);
    run("check m.safetensors t.csv --rows 200").expect_one_of(&[0, 1]);
    let given = "rain,town,ok,note\n0.0,Ulm,,a\n,\"Bonn, old\",yes,b\n,,,c\n";
    fs::write(at(&folder, "g.csv"), given).unwrap();
    let line = "sample m.safetensors --given g.csv --repeats 3 --seed 1";
    let said = ["drawn in every row: \"day\", \"hour\", \"x\""];
    let drawn = run(&format!("{line} --with-log-prob")).expect(0, &said).stdout;
    let drawn = drawn.replace("\"Bonn, old\"", "Bonn");
    // The table comes back whole, in its order.
    assert!(drawn.starts_with("rain,town,ok,note,day,hour,x,log_prob\n"), "{drawn}");
    let of = |name: &str| column(&drawn, name);
    assert_eq!(of("note"), ["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
    assert_eq!(of("town")[..6], ["Ulm", "Ulm", "Ulm", "Bonn", "Bonn", "Bonn"]);
    assert_eq!([&of("rain")[..3], &of("ok")[3..6]], [&["0.0"; 3], &["yes"; 3]]);
    let cells = ["town", "ok", "day", "hour", "rain", "x", "log_prob"].map(of);
    assert!(cells.iter().flatten().all(|cell| !cell.is_empty()), "{drawn}");
    // What is given must be a value of its column, and there must be such a column.
    fs::write(at(&folder, "g.csv"), "rain\n-1\n").unwrap();
    run(line).expect(3, &["\"rain\"", "-1"]);
    fs::write(at(&folder, "g.csv"), "snow\n1\n").unwrap();
    run(line).expect(3, &["no column of the model", "\"town\""]);
    run(&format!("fit t.csv --columns rain --seed 1 --out n.safetensors {TINY}")).expect(0, &[]);
    run("sample n.safetensors --given g.csv").expect(2, &["fit it with --any-subset"]);
}

#[test]
fn a_level_that_no_row_had_has_a_probability() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..98).map(|i| format!("{}\n", ["elm", "oak"][i % 2])).collect();
    fs::write(at(&folder, "c.csv"), format!("tree\n{rows}")).unwrap();
    let line = format!("fit c.csv --seed 1 --out m.safetensors {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    fs::write(at(&folder, "new.csv"), "tree\nelm\noak\nash\n").unwrap();
    let scores = finite_scores(folder.path(), "new.csv");
    assert!((scores[2] - (1.0f64 / 100.0).ln()).abs() < 1e-9, "{scores:?}");
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
}

#[test]
fn a_category_of_thousands_of_levels_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..9000).map(|i| format!("k{},{:.4}\n", i % 3000, uniform(i))).collect();
    fs::write(at(&folder, "k.csv"), format!("key,x\n{rows}")).unwrap();
    let line = format!("fit k.csv --seed 1 --out m.safetensors {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    let found = json(folder.path(), "inspect m.safetensors --json");
    assert_eq!(found["schema"]["columns"][0]["levels"].as_array().unwrap().len(), 3000);
    let drawn = run_in(folder.path(), "sample m.safetensors -n 50 --seed 1 --quiet").stdout;
    assert!(column(&drawn, "key").iter().all(|key| key.starts_with('k')), "{drawn}");
    assert_eq!(finite_scores(folder.path(), "k.csv").len(), 9000);
}

#[test]
fn dates_come_back_in_their_type() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |i: usize| {
        let (month, day) = (1 + i % 12, 1 + i * 5 % 28);
        format!("2023-{month:02}-{day:02},2023-{month:02}-{day:02}T{:02}:30:00\n", i % 24)
    };
    let text: String = (0..200).map(rows).collect();
    fs::write(at(&folder, "d.csv"), format!("day,at\n{text}")).unwrap();
    let run = |line: &str| run_in(folder.path(), line).expect(0, &[]);
    run(&format!("fit d.csv --seed 1 --out m.safetensors {TINY}"));
    run("sample m.safetensors -n 20 --seed 1 --out s.parquet");
    run("sample m.safetensors -n 20 --seed 1 --out s.csv");
    let text = fs::read_to_string(at(&folder, "s.csv")).unwrap();
    assert!(column(&text, "day").iter().all(|day| day.len() == 10), "{text}");
    assert!(column(&text, "at").iter().all(|time| time.contains('T')), "{text}");
    let (csv, parquet) =
        (finite_scores(folder.path(), "s.csv"), finite_scores(folder.path(), "s.parquet"));
    assert_eq!(csv.len(), 20);
    assert!(csv.iter().zip(&parquet).all(|(a, b)| (a - b).abs() < 1e-9), "{csv:?} {parquet:?}");
    // A fit of the samples sees the same kinds in both formats.
    for table in ["s.csv", "s.parquet"] {
        let line = format!(
            "fit {table} --seed 1 --force --out n.safetensors {}",
            TINY.replace("--quiet", "")
        );
        run_in(folder.path(), &line).expect(0, &["columns day=date,at=time"]);
    }
}

#[test]
fn a_context_may_be_words_angles_and_holes() {
    let folder = mixed();
    let line = format!(
        "fit t.csv --columns x --context town,ok,day,hour=periodic[0,24) --missing model --seed 1 --out m.safetensors {}",
        TINY.replace("--quiet", "")
    );
    run_in(folder.path(), &line)
        .expect(0, &["context town=category or missing,ok=boolean,day=date,hour=periodic[0, 24)"]);
    finite_scores(folder.path(), "t.csv");
    let given = "x,town,ok,day,hour\n1,Ulm,yes,2024-01-01,0\n1,,no,2024-01-01,23.9\n1,new,no,2025-01-01,24\n";
    fs::write(at(&folder, "g.csv"), given).unwrap();
    let line = "sample m.safetensors --context g.csv --repeats 2 --seed 1 --quiet";
    let drawn = run_in(folder.path(), line).expect(0, &[]).stdout;
    assert!(drawn.starts_with("town,ok,day,hour,x\n"), "{drawn}");
    assert_eq!(column(&drawn, "town"), ["Ulm", "Ulm", "", "", "new", "new"]);
    assert_eq!(column(&drawn, "day")[5], "2025-01-01");
    run_in(folder.path(), "plot m.safetensors t.csv --out p.svg").expect(0, &[]);
}

#[test]
fn a_configuration_names_kinds_of_columns_and_context() {
    let folder = mixed();
    let text = "[fit]\ndata = 't.csv'\nout = 'm.safetensors'\nsteps = 5\nhidden = [4]\nseed = 1\n[read]\nmissing = 'model'\n\
                [fit.columns]\nrain = '>=0'\nx = 'real'\n[fit.context]\nhour = 'periodic[0, 24)'\n";
    fs::write(at(&folder, "run.toml"), text).unwrap();
    run_in(folder.path(), "fit --config run.toml")
        .expect(0, &["columns rain=[0, inf),x=real or missing", "context hour=periodic[0, 24)"]);
}

#[test]
fn stored_types_are_kinds() {
    let folder = mixed();
    let columns = [
        diffeo::Column::category("tree", ["elm", "oak"]),
        diffeo::Column {
            levels: vec!["false".into(), "true".into()],
            ..diffeo::Column::new("ok", diffeo::ColumnKind::Boolean)
        },
    ];
    let rows = (0..80).flat_map(|i| [f64::from(i % 2), f64::from(i / 3 % 2)]).collect();
    let chunk = Chunk::from_columns(&columns, &diffeo::Rows::new(rows, 2).unwrap(), &[]).unwrap();
    let schemas = ["t.parquet", "u.csv"].map(|name| {
        let mut writer = Writer::create(&Output::Path(at(&folder, name)), None, true).unwrap();
        writer.write(&chunk).unwrap();
        writer.finish().unwrap();
        let line = format!("fit {name} --seed 1 --force --out m.safetensors {TINY}");
        run_in(folder.path(), &line).expect(0, &[]);
        json(folder.path(), "inspect m.safetensors --json")["schema"].clone()
    });
    assert_eq!(schemas[0], schemas[1]);
    assert_eq!(schemas[0]["columns"][1]["kind"]["kind"], "boolean");
}

/// A bell in tenths, fives of which some are frequent, amounts of which half are nothing, and few different logarithms.
fn rounded(folder: &TempDir) {
    let row = |i: usize| {
        let bell: f64 = (0..6).map(|k| uniform(i * 7 + k * 31)).sum();
        let often = if i.is_multiple_of(3) { 4.0 } else { 1.0 };
        let five = (uniform(3 * i) * 8.0).floor() * 5.0 * often;
        let amount = 1.0 + (-900.0 * uniform(5 * i).ln()).floor();
        let claim = if i.is_multiple_of(2) { 0.0 } else { amount };
        let log = (2.0 + (i * 7 % 5) as f64).ln();
        format!("{:.1},{five},{claim},{log:.6}\n", 8.0 * bell)
    };
    let rows: String = (0..6000).map(row).collect();
    fs::write(at(folder, "t.csv"), format!("tenth,five,claim,log\n{rows}")).unwrap();
}

#[test]
fn a_single_value_beside_point_masses_is_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let value = |i: usize| if i == 50 { 3.2054 } else { [0.3137, 0.7791, 1.9283][i % 3] };
    let rows: String = (0..200).map(|i| format!("{},{}\n", value(i), uniform(i))).collect();
    fs::write(at(&folder, "t.csv"), format!("v,u\n{rows}")).unwrap();
    let tiny = TINY.replace("--quiet", "");
    run_in(folder.path(), &format!("fit t.csv --seed 1 --out m.safetensors {tiny}"))
        .expect(0, &["\"v\": positive with a mass at each of its 4 values"]);
    assert_eq!(finite_scores(folder.path(), "t.csv --threads 1").len(), 200);
}

#[test]
fn rounded_numbers_come_back_as_they_are_typed() {
    let folder = tempfile::tempdir().unwrap();
    rounded(&folder);
    let run = |line: &str| run_in(folder.path(), line);
    let tiny = TINY.replace("--quiet", "");
    run(&format!("fit t.csv --seed 1 --out m.safetensors {tiny}")).expect(
        0,
        &[
            "\"tenth\": multiples of 0.1",
            "\"five\": multiples of 5 (14 different values), each of 0 to 140 with a probability",
            "\"claim\": integer>=0 beside a point mass at 0 (50% of the rows)",
            "\"log\": positive with a mass at each of its 5 values",
        ],
    );
    assert_eq!(finite_scores(folder.path(), "t.csv --threads 1").len(), 6000);
    for end in ["csv", "parquet"] {
        run(&format!("sample m.safetensors -n 2000 --seed 2 --out s.{end}")).expect(0, &[]);
        assert_eq!(finite_scores(folder.path(), &format!("s.{end}")).len(), 2000);
    }
    let text = fs::read_to_string(at(&folder, "s.csv")).unwrap();
    let numbers = |name| column(&text, name).into_iter().map(|x| x.parse::<f64>().unwrap());
    let digits = |x: &String| x.split('.').nth(1).map_or(0, str::len);
    assert!(column(&text, "tenth").iter().all(|x| digits(x) <= 1));
    assert!(numbers("five").all(|x| x.rem_euclid(5.0) == 0.0 && x >= 0.0));
    assert!(numbers("claim").all(|x| x.fract() == 0.0 && x >= 0.0));
    run("plot m.safetensors t.csv --out p.svg").expect(0, &[]);
    let inspected = run("inspect m.safetensors").expect(0, &[]).stdout;
    for text in ["rounded(0.1)", "rounded(5)>=0, each of 0 to 140", "integer>=0+{0}"] {
        assert!(inspected.contains(text), "{text}: {inspected}");
    }
    // Asked for: what lies between counts as what is next to it, and that is said.
    let line = "fit t.csv --columns tenth=rounded(0.5)[0,50] --seed 1 --force --out m.safetensors";
    run(&format!("{line} {tiny}")).expect(0, &["values lie between multiples of 0.5"]);
}

#[test]
fn what_is_left_out_is_said_and_the_same_reason_once() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..70).map(|j| format!("c{j}")).collect();
    let bit = |i: usize, j: usize| u8::from(uniform(71 * i + j) < 0.5);
    let row = |i: usize| (0..70).map(|j| bit(i, j).to_string()).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = (0..80).map(row).collect();
    let text = format!("{}\n{}\n", names.join(","), rows.join("\n"));
    fs::write(at(&folder, "wide.csv"), text).unwrap();
    let fit = "fit wide.csv --out m.safetensors --model maf --hidden 8 --steps 5 --seed 1 --force";
    let ran = run_in(folder.path(), fit);
    ran.expect(0, &["and 10 more", "70 columns (\"c0\", \"c1\"", "boolean"]);
    let named = run_in(folder.path(), &format!("{fit} --columns c3,c4 --exclude c5"));
    named.expect(0, &["left out: 67 (\"c0\", \"c1\", \"c2\", \"c6\""]);
}

#[test]
fn a_region_is_asked_for_by_what_may_be_drawn_and_its_probability_is_known_from_few_rows() {
    let folder = mixed();
    let fit =
        "fit t.csv --columns town,rain=positive+{0},x --missing model --out m.safetensors --seed 1";
    run_in(folder.path(), &format!("{fit} {TINY}")).expect(0, &[]);
    let sample = |region: &str| {
        run_in(
            folder.path(),
            &format!(
                "sample m.safetensors -n 1 --seed 2 --out o.csv --force --json --where {region}"
            ),
        )
    };
    // Of the draws that came with the first that was inside nothing is thrown away.
    let found = sample("rain>0").expect(0, &[]).json();
    assert!(found["probability_stderr"].as_f64().is_some_and(|e| e < 0.01), "{found}");
    sample("rain=0").expect(0, &[]);
    sample("town=Ulm").expect(0, &[]);
    sample("rain=0.5").expect(2, &["has a density", "a range"]);
    sample("x=nan").expect(2, &["holds numbers"]);
    sample("x>1e9").expect(1, &["too rare", "--max-tries"]);
}
