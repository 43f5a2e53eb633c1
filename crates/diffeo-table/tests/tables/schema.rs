//! What is read off a table about its columns: A2, A8, A9, A10.

use diffeo::{ColumnKind, ErrorKind, Result, Rows, Schema};
use diffeo_table::{Chunk, InferOptions, Note, infer_schema, infer_schema_with};

use crate::files::{Folder, read, read_text, sample_chunk, says, write};

fn infer(text: &str) -> Result<(Schema, Vec<Note>)> {
    infer_schema(&read_text(text).unwrap(), &[], &[])
}

fn table(header: &str, rows: usize, line: impl Fn(usize) -> String) -> String {
    std::iter::once(format!("{header}\n")).chain((0..rows).map(|i| line(i) + "\n")).collect()
}

/// Numbers that look random: the golden ratio's multiples, modulo 1.
fn uniform(i: usize) -> f64 {
    ((i + 1) as f64 * 0.618_033_988_749_894_9).fract()
}

fn warnings(notes: &[Note]) -> Vec<String> {
    notes.iter().filter(|n| n.warning).map(Note::to_string).collect()
}

const COUNT: ColumnKind = ColumnKind::IntegerRange { low: Some(0), high: None };

#[test]
fn kinds_are_chosen_with_a_reason() {
    let text = table("whole,skewed,real,mild", 200, |i| {
        let u = uniform(i);
        format!("{},{},{},{}", i % 50, (-u.ln()).exp().powi(2), u - 0.5, 10.0 + uniform(3 * i + 1))
    });
    let (schema, notes) = infer(&text).unwrap();
    let kinds: Vec<ColumnKind> = schema.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [COUNT, ColumnKind::Positive, ColumnKind::Real, ColumnKind::Real]);
    let lines: Vec<String> = notes.iter().map(Note::to_string).collect();
    assert_eq!(
        lines[0],
        "column \"whole\": integer>=0 (all values are whole, and none is below 0)"
    );
    assert!(
        lines[1].starts_with("column \"skewed\": positive (all values > 0, skewness"),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2], "column \"real\": real");
    assert!(warnings(&notes).is_empty(), "{notes:?}");
}

#[test]
fn whole_numbers_in_the_file_are_integers() {
    let folder = Folder::new();
    let path = folder.path("d.parquet");
    write(&path, &sample_chunk(100)).unwrap();
    let (schema, notes) = infer_schema(&read(&path).unwrap(), &[], &[]).unwrap();
    assert_eq!(schema.columns[1].kind, COUNT);
    assert_eq!(schema.columns[1].range, Some([0, 6]));
    assert_eq!(notes[1].text, "integer, each of 0 to 6 with a probability of its own");
    // Too wide for that.
    let wide = Rows::new((0..100).map(|i| f64::from(i * i)).collect(), 1).unwrap();
    write(&path, &Chunk::from_rows(&["w".to_owned()], &wide, &[true]).unwrap()).unwrap();
    let (schema, notes) = infer_schema(&read(&path).unwrap(), &[], &[]).unwrap();
    assert_eq!((schema.columns[0].kind, schema.columns[0].range), (COUNT, None));
    assert!(notes[0].text.contains("the file stores"));
}

#[test]
fn named_columns_kinds_and_context_are_kept() {
    let text = table("a,b,c", 100, |i| format!("{},{},{}", uniform(i), i, uniform(7 * i)));
    let table = read_text(&text).unwrap();
    let columns = [
        ("c".to_owned(), Some(ColumnKind::Interval { low: 0.0, high: 1.0 }.into())),
        ("a".to_owned(), None),
    ];
    let given = [("b".to_owned(), None)];
    let (schema, _) = infer_schema(&table, &columns, &given).unwrap();
    assert_eq!(schema.columns[0].name, "c");
    assert_eq!(schema.columns[0].kind, ColumnKind::Interval { low: 0.0, high: 1.0 });
    assert_eq!((schema.columns[1].name.as_str(), schema.context[0].name.as_str()), ("a", "b"));
    let (schema, _) = infer_schema(&table, &[], &given).unwrap();
    assert_eq!(schema.columns.len(), 2);

    let narrow = [("a".to_owned(), Some(ColumnKind::Interval { low: 0.0, high: 0.5 }.into()))];
    says(
        &infer_schema(&table, &narrow, &[]).unwrap_err(),
        &["column \"a\" is to be (0, 0.5)", "of 100 values", "widen"],
    );
    let twice = [("a".to_owned(), None), ("a".to_owned(), None)];
    assert_eq!(infer_schema(&table, &twice, &[]).unwrap_err().kind(), ErrorKind::Config);
    let absent = [("z".to_owned(), None)];
    says(
        &infer_schema(&table, &absent, &[]).unwrap_err(),
        &["expected a column \"z\"", "\"a\", \"b\", \"c\""],
    );
}

#[test]
fn a2_one_row_is_warned_about() {
    let (schema, notes) = infer("a,b\n1.5,2\n").unwrap();
    assert_eq!(schema.columns.len(), 2);
    assert!(warnings(&notes)[0].contains("one row"), "{notes:?}");
}

#[test]
fn a8_constant_columns_are_refused_by_name_or_left_out() {
    let text = "a,b\n1.5,7\n2.25,7\n3.5,7\n";
    let error = infer(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    says(&error, &["column \"b\"", "value 7 in every row", "infinite", "--drop-constant"]);
    let options = InferOptions { drop_constant: true, ..InferOptions::default() };
    let (schema, notes) = infer_schema_with(&read_text(text).unwrap(), &[], &[], &options).unwrap();
    assert_eq!(schema.columns.len(), 1);
    assert!(warnings(&notes)[0].contains("left out"));
    let all = infer_schema_with(&read_text("a\n1\n1\n").unwrap(), &[], &[], &options).unwrap_err();
    says(&all, &["no columns are left"]);
    let (_, notes) =
        infer_schema(&read_text(text).unwrap(), &[("a".into(), None)], &[("b".into(), None)])
            .unwrap();
    assert!(warnings(&notes)[0].contains("context column"));
}

#[test]
fn a8_copies_and_combinations_are_warned_about() {
    let text = table("a,b,copy,sum,other", 300, |i| {
        let (a, b) = (uniform(i), uniform(31 * i + 5));
        format!("{a},{b},{},{},{}", 5.0 - 2.0 * a, a + b, uniform(i * i))
    });
    let (_, notes) = infer(&text).unwrap();
    let lines = warnings(&notes);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("column \"copy\": the same as \"a\"") && lines[0].contains("unbounded"),
        "{lines:?}"
    );
    assert!(lines[1].contains("column \"sum\": a linear combination"), "{lines:?}");
}

#[test]
fn a9_discrete_columns_and_ties_are_warned_about() {
    let text = table("half,spike,fine", 1000, |i| {
        let u = uniform(i);
        let spike = if i % 10 == 0 { 0.0 } else { uniform(3 * i) };
        format!("{},{spike},{u}", (u * 8.0).floor() / 2.0 + 0.25)
    });
    let (schema, notes) = infer(&text).unwrap();
    // Few different values are multiples of a step, and a value that is frequent beside others that are not is a point mass: both have
    // probabilities, of which there is nothing to warn of.
    assert!(warnings(&notes).is_empty(), "{notes:?}");
    assert_eq!(
        (schema.columns[0].kind.to_string().as_str(), schema.columns[0].range),
        ("rounded(0.25)>=0", Some([1, 15]))
    );
    assert_eq!(schema.columns[1].masses, [0.0]);
    assert_eq!(notes[1].text, "positive beside a point mass at 0 (10% of the rows)");
    // Where that was not wanted, it is warned of.
    let real = |name: &str| (name.to_owned(), Some(ColumnKind::Real.into()));
    let wish = [real("half"), real("spike")];
    let (_, notes) = infer_schema(&read_text(&text).unwrap(), &wish, &[]).unwrap();
    let lines = warnings(&notes);
    assert!(
        lines[0].contains("few distinct values in 1000 rows: \"half\" 8")
            && lines[0].contains("rounded(0.1)")
    );
    assert!(lines[1].contains("\"spike\" 10% equal 0"), "{notes:?}");
}

#[test]
fn a10_extreme_scales_and_offsets_do_not_confuse() {
    let text = table("tiny,huge,offset", 200, |i| {
        let u = uniform(i) - 0.5;
        format!("{:e},{:e},{}", u * 1e-30, uniform(5 * i) * 1e30 - 0.3e30, 1e9 + uniform(17 * i))
    });
    let (schema, notes) = infer(&text).unwrap();
    assert!(schema.columns.iter().all(|c| c.kind == ColumnKind::Real), "{schema:?}");
    assert!(warnings(&notes).is_empty(), "{notes:?}");
}
