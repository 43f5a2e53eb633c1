//! Categories, truth values, dates and holes: what they are read as, and that no format and no cut into chunks changes it.

use diffeo::{Column, ColumnKind, KindWish, Rows, Schema};
use diffeo_table::{
    Chunk, Content, Input, MemoryLimit, Missing, Output, ReadOptions, Reader, Wanted, Writer,
    infer_schema, read_rows, read_wanted,
};

use crate::files::{Folder, read, read_text, read_with, says, write};

/// 300 rows of a category, truth values, dates, times, a zero-inflated number, and a count.
fn mixed() -> (Vec<Column>, Rows) {
    let truths = Column {
        levels: vec!["false".into(), "true".into()],
        ..Column::new("ok", ColumnKind::Boolean)
    };
    let columns = vec![
        Column::category("tree", ["elm", "oak", "ash"]),
        truths,
        Column::new("day", ColumnKind::Date),
        Column::new("at", ColumnKind::Time),
        Column::real("rain"),
        Column::new("count", ColumnKind::Integer),
    ];
    let row = |i: usize| {
        let u = ((i + 1) as f64 * 0.618_033_988_749_894_9).fract();
        let rain = if i.is_multiple_of(3) { 0.0 } else { u - 0.25 };
        let tree = [0, 0, 0, 1, 1, 2][i % 6];
        [
            f64::from(tree),
            (i % 2) as f64,
            19_000.0 + i as f64,
            1.6e9 + 977.0 * i as f64,
            rain,
            (i % 13) as f64,
        ]
    };
    (columns, Rows::new((0..300).flat_map(row).collect(), 6).unwrap())
}

fn schema_of(path: &std::path::Path, chunk_rows: usize) -> Schema {
    let options = ReadOptions { chunk_rows, ..ReadOptions::default() };
    infer_schema(&read_with(path, &options).unwrap(), &[], &[]).unwrap().0
}

#[test]
fn the_schema_is_the_same_in_every_format_and_cut() {
    let folder = Folder::new();
    let (columns, rows) = mixed();
    let chunk = Chunk::from_columns(&columns, &rows, &[]).unwrap();
    let names = ["d.csv", "d.tsv.gz", "d.parquet", "d.arrow"].map(|name| folder.path(name));
    names.iter().for_each(|path| write(path, &chunk).unwrap());
    let schema = schema_of(&names[0], 65_536);
    let kinds: Vec<String> = schema.columns.iter().map(Column::describe).collect();
    assert_eq!(kinds, ["category", "boolean", "date", "time", "real+{0}", "integer>=0"]);
    assert_eq!(schema.columns[0].levels, ["elm", "oak", "ash"]);
    assert_eq!(schema.columns[0].unseen, 1.0 / 302.0);
    assert_eq!(schema.columns[1].levels, ["false", "true"]);
    assert_eq!((schema.columns[5].range, schema.columns[5].unseen), (Some([0, 12]), 1.0 / 302.0));
    for path in &names {
        for chunk_rows in [1, 7, 65_536] {
            assert_eq!(schema_of(path, chunk_rows), schema, "{path:?} {chunk_rows}");
        }
        // Cells and numbers are those that were written.
        let options = ReadOptions { chunk_rows: 11, ..ReadOptions::default() };
        let input = Input::Path(path.clone());
        let limit = MemoryLimit::unlimited();
        let (again, _) = read_rows(&input, &schema.columns, &options, limit).unwrap();
        assert_eq!(again.values(), rows.values(), "{path:?}");
        assert_eq!(read(path).unwrap().rows.values(), rows.values(), "{path:?}");
    }
}

#[test]
fn levels_come_by_frequency_then_text() {
    let table = read_text("c\nb\na\nc\nb\n\"c \"\n").unwrap();
    let levels = [("c", 2), ("b", 2), ("a", 1)].map(|(level, n)| (level.to_owned(), n));
    let mut expected = levels.to_vec();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    assert_eq!(table.contents, [Content::Levels { levels: expected, other: 0 }]);
    assert_eq!(table.rows.values(), [0.0, 2.0, 1.0, 0.0, 1.0]);
}

#[test]
fn words_are_kept_as_they_are_written() {
    let table = read_text("flag\nTrue\nFalse\nTrue\ntrue\n").unwrap();
    let words = ["False", "True"].map(str::to_owned);
    assert_eq!(table.contents, [Content::Truths { words }]);
    assert_eq!(table.rows.values(), [1.0, 0.0, 1.0, 1.0]);
    // Beside other words they are levels.
    let table = read_text("flag\nyes\nno\nmaybe\nyes\n").unwrap();
    assert!(matches!(&table.contents[0], Content::Levels { levels, .. } if levels.len() == 3));
    let (schema, notes) = infer_schema(&table, &[], &[]).unwrap();
    assert_eq!(schema.columns[0].levels, ["yes", "maybe", "no"]);
    assert_eq!(notes[0].text, "category (3 levels)");
}

#[test]
fn holes_stay_where_they_may_be_and_drop_rows_elsewhere() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,c,b\n1,x,2\n,y,3\n4,NA,5\n6,x,?\n");
    let wanted = |name: &str, holes| Wanted { holes, ..Wanted::any(name) };
    for chunk_rows in [1, 3, 100] {
        let options = ReadOptions { missing: Missing::Drop, chunk_rows, ..ReadOptions::default() };
        let columns = [wanted("a", true), wanted("c", true), wanted("b", false)];
        let input = Input::Path(path.clone());
        let table = read_wanted(&input, &columns, &options, MemoryLimit::unlimited()).unwrap();
        let cells: Vec<String> = table.rows.values().iter().map(f64::to_string).collect();
        // The level of the row that was left out is one of the table's all the same.
        assert_eq!(cells, ["1", "0", "2", "NaN", "1", "3", "4", "NaN", "5"], "{chunk_rows}");
        assert_eq!(table.report.rows_dropped, 1);
        let (schema, notes) = infer_schema(&table, &[], &[]).unwrap();
        let holes: Vec<bool> = schema.columns.iter().map(|c| c.holes).collect();
        assert_eq!(holes, [true, true, false]);
        assert!(notes.iter().any(|note| note.text == "missing in 33.3% of the rows"), "{notes:?}");
        let model = ReadOptions { missing: Missing::Model, ..options };
        let error = read_wanted(&input, &columns, &model, MemoryLimit::unlimited()).unwrap_err();
        says(&error, &["1 value is missing", "\"b\" 1", "line 5"]);
    }
}

#[test]
fn holes_are_cells_without_a_value_in_every_format() {
    let folder = Folder::new();
    let columns = [
        Column { holes: true, ..Column::category("c", ["u", "v"]) },
        Column { holes: true, ..Column::new("d", ColumnKind::Date) },
        Column { holes: true, ..Column::real("x") },
    ];
    let nan = f64::NAN;
    let rows = Rows::new(vec![0.0, nan, 0.5, nan, 3.0, nan, 1.0, 4.0, 2.0], 3).unwrap();
    let chunk = Chunk::from_columns(&columns, &rows, &[]).unwrap();
    for name in ["d.csv", "d.parquet", "d.arrows"] {
        let path = folder.path(name);
        write(&path, &chunk).unwrap();
        let input = Input::Path(path.clone());
        let mut reader = Reader::open(&input, &ReadOptions::default()).unwrap();
        reader.require_columns(&columns).unwrap();
        let found = reader.next_chunk().unwrap().unwrap();
        let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
        let again = found.rows_for(&columns).unwrap();
        assert!(rows.values().iter().zip(again.values()).all(same), "{name} {again:?}");
        // Text passes through with its holes, and numbers keep theirs in a format with types.
        let out = Output::Path(folder.path(&format!("{name}.out.parquet")));
        let mut writer = Writer::create(&out, None, true).unwrap();
        writer.write(&found).unwrap();
        writer.finish().unwrap();
    }
    let text = std::fs::read_to_string(folder.path("d.csv")).unwrap();
    assert_eq!(text, "c,d,x\nu,,0.5\n,1970-01-04,\nv,1970-01-05,2.0\n");
    let error = write(&folder.path("d.npy"), &chunk).unwrap_err();
    says(&error, &["npy holds only numbers", "\"c\"", "Parquet"]);
}

#[test]
fn texts_that_name_the_rows_are_left_out_with_a_warning() {
    let text = |n: usize, of: usize| {
        let rows = (0..n).map(|i| format!("name{},{}\n", i % of, (i * i) as f64 + 0.5));
        format!("who,x\n{}", rows.collect::<String>())
    };
    let (schema, notes) = infer_schema(&read_text(text(200, 150)).unwrap(), &[], &[]).unwrap();
    assert_eq!(schema.columns.len(), 1);
    let warning = notes.iter().find(|note| note.warning).unwrap();
    assert!(warning.text.contains("150 different texts in 200 rows"), "{warning}");
    assert!(warning.text.contains("--columns 'who=category'"), "{warning}");
    let wish = [("who".to_owned(), Some(ColumnKind::Category.into()))];
    let (schema, _) = infer_schema(&read_text(text(200, 150)).unwrap(), &wish, &[]).unwrap();
    assert_eq!(schema.columns[0].levels.len(), 150);
    let (schema, _) = infer_schema(&read_text(text(400, 150)).unwrap(), &[], &[]).unwrap();
    assert_eq!(schema.columns.len(), 2);
}

#[test]
fn codes_that_are_numbers_are_levels_when_asked_for() {
    let folder = Folder::new();
    let rows = Rows::new(vec![3.0, 2.5, 3.0, 10.0], 1).unwrap();
    let names = ["k".to_owned()];
    let paths = ["k.csv", "k.parquet"].map(|name| folder.path(name));
    for path in &paths {
        write(path, &Chunk::from_rows(&names, &rows, &[false]).unwrap()).unwrap();
        let kind = Some(ColumnKind::Category);
        let wanted = [Wanted { kind, ..Wanted::any("k") }];
        let input = Input::Path(path.clone());
        let options = ReadOptions::default();
        let table = read_wanted(&input, &wanted, &options, MemoryLimit::unlimited()).unwrap();
        let wish = [("k".to_owned(), Some(ColumnKind::Category.into()))];
        let (schema, _) = infer_schema(&table, &wish, &[]).unwrap();
        assert_eq!(schema.columns[0].levels, ["3", "10", "2.5"], "{path:?}");
    }
}

#[test]
fn wishes_for_whole_numbers_have_ranges() {
    let table = read_text(format!(
        "num\n{}",
        (0..60).map(|i| format!("{}\n", 1 + i % 6)).collect::<String>()
    ))
    .unwrap();
    let of = |wish: &str| {
        let wish: KindWish = wish.parse().unwrap();
        let (schema, _) = infer_schema(&table, &[("num".to_owned(), Some(wish))], &[]).unwrap();
        (schema.columns[0].range, schema.columns[0].unseen > 0.0)
    };
    assert_eq!(of("integer[0, 12]"), (Some([0, 12]), false));
    assert_eq!(of("integer[0, 4096]"), (None, false));
    assert_eq!(of("integer>=0"), (Some([0, 6]), true));
    assert_eq!(of("integer<=7"), (Some([1, 7]), true));
    assert_eq!(of("integer>=-900"), (None, false));
    assert_eq!(of("integer"), (Some([1, 6]), true));
    assert_eq!(of("real"), (None, false));
}

#[test]
fn infinities_in_a_table_to_be_scored_are_no_point_masses() {
    let folder = Folder::new();
    let cell = |i: usize| match i % 3 {
        0 => "inf".to_owned(),
        _ => format!("{}", (i as f64 * 0.618_033_988_749_894_9).fract() - 0.5),
    };
    let text: String = (0..150).map(|i| format!("{}\n", cell(i))).collect();
    let path = folder.file("d.csv", format!("x\n{text}"));
    let options = ReadOptions { missing: Missing::Keep, ..ReadOptions::default() };
    let (schema, _) = infer_schema(&read_with(&path, &options).unwrap(), &[], &[]).unwrap();
    assert!(schema.columns[0].masses.is_empty(), "{schema:?}");
}

/// Values on a grid that is no decimal one, the rare of which lie far out: those must not look likely for having a density in small units where the others have probabilities.
#[test]
fn few_values_of_no_step_have_probabilities_all_of_them() {
    let value = |i: usize| match i % 20 {
        0 => 1.0 + (i / 20) as f64 / 93.0,
        k => ((k * k) % 17) as f64 / 93.0,
    };
    let text: String = (0..3000).map(|i| format!("{},{}\n", value(i), i)).collect();
    let folder = Folder::new();
    let path = folder.file("a.csv", format!("a,b\n{text}"));
    let schema = schema_of(&path, 100);
    let column = &schema.columns[0];
    let ColumnKind::Rounded { step, low: Some(0.0), high: None } = column.kind else {
        panic!("{}", column.describe())
    };
    assert!(
        step.width() <= 1e-4 / 93.0 * 100.0 && column.masses.len() > 5,
        "{}",
        column.describe()
    );
    // What is kept of a value is enough to tell it from all others.
    let mut counted: Vec<f64> = (0..3000).map(|i| column.kind.nearest(value(i))).collect();
    counted.sort_by(f64::total_cmp);
    counted.dedup();
    let mut all: Vec<f64> = (0..3000).map(value).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    assert_eq!(counted.len(), all.len());
}
