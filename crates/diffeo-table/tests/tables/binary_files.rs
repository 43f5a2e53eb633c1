//! npy, Parquet and Arrow files that are sound, odd or wrong: A1, A5, A6, A14.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch};
use diffeo::ErrorKind;
use diffeo_table::{Input, Missing, ReadOptions, Reader};

use crate::files::{Folder, names, read, read_with, says};

/// An npy file, version 1.
pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn header(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
}

/// A Parquet file of one batch.
pub(crate) fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a14_npy_in_every_type_order_and_byte_order() {
    let folder = Folder::new();
    // [[1, 2, 3], [4, 5, 6]], row by row and column by column.
    let (by_rows, by_columns) = ([1u8, 2, 3, 4, 5, 6], [1u8, 4, 2, 5, 3, 6]);
    type Bytes = fn(u8) -> Vec<u8>;
    let types: [(&str, Bytes); 14] = [
        ("|u1", |x| vec![x]),
        ("|i1", |x| vec![x]),
        ("<i2", |x| i16::from(x).to_le_bytes().to_vec()),
        (">i2", |x| i16::from(x).to_be_bytes().to_vec()),
        ("<u2", |x| u16::from(x).to_le_bytes().to_vec()),
        (">i4", |x| i32::from(x).to_be_bytes().to_vec()),
        ("<u4", |x| u32::from(x).to_le_bytes().to_vec()),
        ("<i8", |x| i64::from(x).to_le_bytes().to_vec()),
        (">u8", |x| u64::from(x).to_be_bytes().to_vec()),
        ("<f4", |x| f32::from(x).to_le_bytes().to_vec()),
        (">f4", |x| f32::from(x).to_be_bytes().to_vec()),
        ("<f8", |x| f64::from(x).to_le_bytes().to_vec()),
        (">f8", |x| f64::from(x).to_be_bytes().to_vec()),
        ("<f2", |x| {
            (((15 + x.ilog2() as u16) << 10) | ((u16::from(x) << (10 - x.ilog2())) & 0x3ff))
                .to_le_bytes()
                .to_vec()
        }),
    ];
    for (descr, bytes) in types {
        for (fortran, order) in [("False", by_rows), ("True", by_columns)] {
            let data: Vec<u8> = order.iter().flat_map(|&x| bytes(x)).collect();
            let path = folder.file("d.npy", npy(&header(descr, fortran, "(2, 3)"), &data));
            for chunk_rows in [1, 10] {
                let table = read_with(&path, &ReadOptions { chunk_rows, ..ReadOptions::default() })
                    .unwrap();
                assert_eq!(
                    table.rows.values(),
                    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                    "{descr} {fortran}"
                );
                assert_eq!(table.names, ["x1", "x2", "x3"]);
                assert_eq!(table.integer_typed[0], !descr.contains('f'), "{descr}");
            }
        }
    }
    let one_axis = folder.file("d.npy", npy(&header("<f8", "False", "(1,)"), &7f64.to_le_bytes()));
    assert_eq!(read(&one_axis).unwrap().rows.values(), [7.0]);
    let two = folder.file("d.npy", {
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        let text = header("<f8", "False", "(1, 1)");
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(7f64.to_le_bytes());
        bytes
    });
    assert_eq!(read(&two).unwrap().rows.values(), [7.0]);
}

#[test]
fn a14_hostile_npy_is_refused() {
    let folder = Folder::new();
    let refused = |bytes: Vec<u8>, part: &str| {
        let error = read(&folder.file("d.npy", bytes)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit), "{error}");
        says(&error, &["d.npy", part]);
    };
    refused(npy(&header("|O", "False", "(1,)"), b"\x80\x04K\x01."), "never loaded");
    refused(npy(&header("<f8", "False", "(3, 2)"), &[0; 40]), "cut short");
    refused(npy(&header("<f8", "False", "(3, 2)"), &[0; 49]), "more follows");
    refused(npy(&header("<f8", "False", "(4294967296, 4294967296)"), &[]), "overflows");
    refused(npy(&header("<f8", "False", "(1000000000000, 2)"), &[]), "cut short");
    refused(npy(&header("<f8", "True", "(1000000000000, 2)"), &[]), "cut short");
    refused(npy(&header("<f8", "False", "(0, 1000000000000)"), &[]), "columns");
    refused(npy(&header("<f8", "False", "()"), &[0; 8]), "0 axes");
    refused(npy(&header("<f8", "False", "(0, 2)"), &[]), "no rows");
    refused(b"\x93NUMPY\x02\x00\x00\x00\x00\x40".to_vec(), "header claims 1073741824 bytes");
    refused(b"\x93NUMPY\x09\x00\x10\x00".to_vec(), "found 9");
    refused(b"\x93NUMPY".to_vec(), "cut short");
}

#[test]
fn a5_nulls_and_nan_in_typed_files_are_missing() {
    let batch = RecordBatch::try_from_iter([
        (
            "a",
            Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(4.0)]))
                as ArrayRef,
        ),
        ("b", Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, f32::NAN]))),
        ("c", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ])
    .unwrap();
    let folder = Folder::new();
    let path = folder.file("d.parquet", parquet(&batch));
    says(
        &read(&path).unwrap_err(),
        &["3 values are missing in 4 rows", "\"a\" 2", "\"b\" 1", "row 2, column \"a\""],
    );
    let options = ReadOptions { missing: Missing::Drop, ..ReadOptions::default() };
    assert_eq!(read_with(&path, &options).unwrap().rows.values(), [1.0, 1.0, 1.0]);
    let mut reader = Reader::open(&Input::Path(path), &ReadOptions::default()).unwrap();
    reader.require(&names(&["c"])).unwrap();
    assert!(reader.next_chunk().unwrap().unwrap().numbers(&names(&["c"])).is_ok());
}

#[test]
fn a6_infinities_in_typed_files_name_the_row() {
    let batch = RecordBatch::try_from_iter([(
        "a",
        Arc::new(Float64Array::from(vec![1.0, f64::NEG_INFINITY])) as ArrayRef,
    )]);
    let folder = Folder::new();
    let path = folder.file("d.parquet", parquet(&batch.unwrap()));
    says(&read(&path).unwrap_err(), &["row 2, column \"a\"", "-inf", "infinite"]);
}

#[test]
fn a1_typed_files_without_rows() {
    let batch = RecordBatch::try_from_iter([(
        "a",
        Arc::new(Float64Array::from(Vec::<f64>::new())) as ArrayRef,
    )]);
    let folder = Folder::new();
    says(&read(&folder.file("d.parquet", parquet(&batch.unwrap()))).unwrap_err(), &["no rows"]);
}

#[test]
fn decimals_are_numbers() {
    let decimals = Decimal128Array::from(vec![12345, -1]).with_precision_and_scale(10, 2).unwrap();
    let batch = RecordBatch::try_from_iter([("a", Arc::new(decimals) as ArrayRef)]).unwrap();
    let folder = Folder::new();
    let table = read(&folder.file("d.parquet", parquet(&batch))).unwrap();
    assert_eq!(table.rows.values(), [123.45, -0.01]);
    assert_eq!(table.integer_typed, [false]);
}

#[test]
fn a12_typed_files_with_doubled_names_are_refused() {
    use arrow_schema::{DataType, Field, Schema};
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, false),
        Field::new("a", DataType::Int64, false),
    ]);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column.clone(), column]).unwrap();
    let folder = Folder::new();
    let path = folder.path("d.arrow");
    let mut writer = arrow_ipc::writer::FileWriter::try_new(
        std::fs::File::create(&path).unwrap(),
        &batch.schema(),
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    says(&read(&path).unwrap_err(), &["two columns are called \"a\""]);
}
