//! Every format there and back.

use std::path::Path;

use diffeo_table::{Chunk, Input, Output, ReadOptions, Reader, Writer};

use crate::files::{Folder, chunks, gzip, names, read, sample_chunk, write};

const FORMATS: [&str; 9] = [
    "d.csv",
    "d.tsv",
    "d.csv.gz",
    "d.csv.zst",
    "d.tsv.gz",
    "d.parquet",
    "d.arrow",
    "d.arrows",
    "d.npy",
];

#[test]
fn every_format_gives_back_the_same_numbers() {
    let folder = Folder::new();
    let chunk = sample_chunk(1000);
    let expected = chunk.numbers(&names(&["a", "b"])).unwrap();
    for name in FORMATS {
        let path = folder.path(name);
        write(&path, &chunk).unwrap();
        let table = read(&path).unwrap();
        assert_eq!(table.rows, expected, "{name}");
        if name != "d.npy" {
            assert_eq!(table.names, ["a", "b"], "{name}");
        }
        let typed = matches!(name, "d.parquet" | "d.arrow" | "d.arrows");
        assert_eq!(table.integer_typed, [false, typed], "{name}");
    }
}

#[test]
fn files_of_several_chunks_are_read_in_chunks() {
    let folder = Folder::new();
    for name in FORMATS {
        let path = folder.path(name);
        let mut writer = Writer::create(&Output::Path(path.clone()), None, false).unwrap();
        for _ in 0..3 {
            writer.write(&sample_chunk(50)).unwrap();
        }
        writer.finish().unwrap();
        let options = ReadOptions { chunk_rows: 20, ..ReadOptions::default() };
        let parts = chunks(&path, &options).unwrap();
        assert!(parts.len() > 3 && parts.iter().all(|c| c.rows() <= 20), "{name}");
        assert_eq!(parts.iter().map(Chunk::rows).sum::<usize>(), 150, "{name}");
    }
}

#[test]
fn columns_pass_through_unchanged() {
    let folder = Folder::new();
    let text = "id,x,note\n007,1.50,\"a, b\"\n008,2,\n";
    let path = folder.file("d.csv", text);
    let chunk = &chunks(&path, &ReadOptions::default()).unwrap()[0];
    let scored = chunk.with_column("log_prob", vec![-1.5, f64::NEG_INFINITY]).unwrap();
    let out = folder.path("out.csv");
    write(&out, &scored).unwrap();
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        "id,x,note,log_prob\n007,1.50,\"a, b\",-1.5\n008,2,,-inf\n"
    );
    assert!(chunk.with_column("x", vec![0.0; 2]).is_err());
    assert!(chunk.with_column("y", vec![0.0]).is_err());
}

#[test]
fn parquet_types_survive_a_round_trip() {
    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, DictionaryArray, Float32Array, Int16Array, RecordBatch, StringArray,
        TimestampSecondArray,
    };
    use std::sync::Arc;
    let folder = Folder::new();
    let words: DictionaryArray<Int32Type> = ["u", "v", "u"].into_iter().collect();
    let batch = RecordBatch::try_from_iter([
        ("f", Arc::new(Float32Array::from(vec![0.1, 0.2, 0.3])) as ArrayRef),
        ("i", Arc::new(Int16Array::from(vec![1, -2, 3]))),
        ("s", Arc::new(StringArray::from(vec![Some("p"), None, Some("q")]))),
        ("t", Arc::new(TimestampSecondArray::from(vec![1, 2, 3]))),
        ("w", Arc::new(words)),
    ])
    .unwrap();
    let path = folder.path("d.parquet");
    let mut writer = parquet::arrow::ArrowWriter::try_new(
        std::fs::File::create(&path).unwrap(),
        batch.schema(),
        None,
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let chunk = &chunks(&path, &ReadOptions::default()).unwrap()[0];
    assert_eq!(chunk.numbers(&names(&["i", "f"])).unwrap().row(0), [1.0, f64::from(0.1f32)]);
    assert!(chunk.numbers(&names(&["t"])).unwrap_err().message().contains("Timestamp"));
    let again = folder.path("again.parquet");
    write(&again, chunk).unwrap();
    let file = std::fs::File::open(&again).unwrap();
    let read = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(read, batch);
    let csv = folder.path("d.csv");
    write(&csv, chunk).unwrap();
    assert_eq!(
        std::fs::read_to_string(csv).unwrap(),
        "f,i,s,t,w\n0.1,1,p,1970-01-01T00:00:01,u\n0.2,-2,,1970-01-01T00:00:02,v\n0.3,3,q,1970-01-01T00:00:03,u\n"
    );
}

#[test]
fn needed_columns_of_a_text_become_numbers_in_typed_formats() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "id,x\n007,1.5\n008,2\n");
    for name in ["out.parquet", "out.arrow", "out.jsonl"] {
        let mut reader = Reader::open(&Input::Path(path.clone()), &ReadOptions::default()).unwrap();
        reader.require(&names(&["x"])).unwrap();
        let out = folder.path(name);
        write(&out, &reader.next_chunk().unwrap().unwrap()).unwrap();
        if name == "out.jsonl" {
            let text = std::fs::read_to_string(&out).unwrap();
            assert_eq!(text, "{\"id\":\"007\",\"x\":1.5}\n{\"id\":\"008\",\"x\":2.0}\n");
        } else {
            let chunk = &chunks(&out, &ReadOptions::default()).unwrap()[0];
            assert_eq!(chunk.numbers(&names(&["x"])).unwrap().values(), [1.5, 2.0]);
        }
    }
    assert_eq!(parquet_type(&folder.path("out.parquet"), 1), arrow_schema::DataType::Float64);
    assert_eq!(parquet_type(&folder.path("out.parquet"), 0), arrow_schema::DataType::Utf8);
}

fn parquet_type(path: &Path, column: usize) -> arrow_schema::DataType {
    let file = std::fs::File::open(path).unwrap();
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.schema().field(column).data_type().clone()
}

#[test]
fn json_lines_mark_what_json_cannot_hold() {
    let folder = Folder::new();
    let chunk = sample_chunk(2).with_column("s", vec![f64::NEG_INFINITY, f64::NAN]).unwrap();
    let path = folder.path("d.jsonl");
    write(&path, &chunk).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains("\"s\":\"-inf\"")
            && text.contains("\"s\":\"NaN\"")
            && text.contains("\"b\":1"),
        "{text}"
    );
}

#[test]
fn compressed_files_may_have_several_members_and_any_inner_format() {
    let folder = Folder::new();
    let two = [gzip(b"a,b\n1,2\n"), gzip(b"3,4\n")].concat();
    assert_eq!(read(&folder.file("d.csv.gz", &two)).unwrap().rows.len(), 2);
    assert_eq!(read(&folder.file("d.csv", &two)).unwrap().rows.len(), 2);
    let parquet = folder.path("d.parquet");
    write(&parquet, &sample_chunk(9)).unwrap();
    let packed = gzip(&std::fs::read(parquet).unwrap());
    assert_eq!(read(&folder.file("d.parquet.gz", packed)).unwrap().rows.len(), 9);
}

#[test]
fn numbers_of_a_typed_file_keep_their_bits_in_csv() {
    let folder = Folder::new();
    let values = vec![0.1, 1.0 / 3.0, 1e300, -2.5e-310, 123_456_789.123_456_78, 5e-324, -0.0, 1e16];
    let rows = diffeo::Rows::new(values.clone(), 1).unwrap();
    let path = folder.path("d.csv");
    write(&path, &Chunk::from_rows(&names(&["a"]), &rows, &[false]).unwrap()).unwrap();
    let options = ReadOptions { max_magnitude: f64::MAX, ..ReadOptions::default() };
    let table = crate::files::read_with(&path, &options).unwrap();
    let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(table.rows.values()), bits(&values));
}
