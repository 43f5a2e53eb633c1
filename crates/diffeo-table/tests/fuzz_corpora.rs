//! Replays what the fuzz targets of tables start from and what they have found: see `fuzz/` and CONTRIBUTING.md.

#[path = "../../../fuzz/src/tables.rs"]
mod tables;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int64Array, RecordBatch, StringArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

type Read = fn(&[u8]) -> diffeo::Result<usize>;

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// The files of a folder of seeds, none if it is not there.
fn files(target: &str, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(seeds(target).join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

/// Sound files must be read, damaged ones refused, and those that fuzzing found may be either. `read` itself asserts the rest.
fn replay(target: &str, read: Read) {
    let (valid, damaged) = (files(target, "valid"), files(target, "damaged"));
    assert!(!valid.is_empty() && !damaged.is_empty(), "no seeds of {target}");
    for (path, bytes) in valid {
        let rows = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(rows > 0, "{}", path.display());
    }
    for (path, bytes) in damaged {
        assert!(read(&bytes).is_err(), "{} was read", path.display());
    }
    for (path, bytes) in files(target, "found") {
        let outcome = std::panic::catch_unwind(|| read(&bytes));
        assert!(outcome.is_ok(), "{}", path.display());
    }
}

#[test]
fn text() {
    replay("csv", tables::csv);
}

#[test]
fn npy() {
    replay("npy", tables::npy);
}

#[test]
fn npz() {
    replay("npz", tables::npz);
}

#[test]
fn idx() {
    replay("idx", tables::idx);
}

#[test]
fn image() {
    replay("image", tables::image);
}

#[test]
fn parquet() {
    replay("parquet", tables::parquet);
}

#[test]
fn arrow() {
    replay("arrow", tables::arrow);
}

fn save(target: &str, folder: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = seeds(target).join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// `cargo test -p diffeo-table --test fuzz_corpora -- --ignored` writes the seeds anew.
#[test]
#[ignore = "writes the seeds anew"]
fn write_seeds() {
    write_text();
    write_npy();
    write_images();
    write_parquet();
    write_arrow();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write_text() {
    let plain = b"a,b,name\n1,2.5e0,first\n-3,4,\"sec,ond\"\n5,-6.25,third\n";
    for (name, text) in [
        ("plain", &b"@@a,b\n1,2.5\n-3,4\n"[..]),
        ("quotes", b"@@\"a\",\"b \"\"c\"\"\"\r\n1,\"2\"\r\n3,\"4\"\r\n"),
        ("mark", b"@@\xef\xbb\xbfa\tb\n1\t2\n3\t4\n"),
        ("sep_line", b"@@sep=;\na;b\n1;2\n3;4\n"),
        ("comments", b"@@# made by hand\n# a b\n1 2\n3 4\n# end\n"),
        ("percent", b"B@% a comment\n1,2\n3,4\n"),
        ("blanks", b"D@  a   b\n  1   2\n -3\t4 \n"),
        ("semicolon", b"L@a;b\n1;2\n3;4\n"),
        ("bar_no_header", b"\xd8@1|2\n3|4\n"),
        ("dropped", b"@Aa,b\n1,\n2,3\nNA,4\n"),
        ("kept", b"@Ba,b\n1,\ninf,3\nnan,-inf\n"),
        ("marks", b"@Ea,b\n-999,1\nx,2\n3,4\n"),
        ("one_row_chunks", b"@Ha,b\n1,2\n3,4\n5,6\n"),
        ("truths", b"@@t,x\ntrue,1\nfalse,2\n"),
        ("fortran", b"@@x,y\n1.5D+3,2d-1\n.5,+1E2\n"),
        ("names_of_rows", b"@@\"x\" \"y\"\n\"1\" 0.5 2\n\"2\" 1.5 3\n"),
        ("few_distinct", b"@@d\n20240101\n20240102\n20240103\n"),
        ("categories", b"@@tree,x\nelm,1\n oak ,2\nelm,2.5\n\"ash, \"\"white\"\"\",4\n"),
        ("codes", b"@\x00zip\n007\n7\n7.0\n-0.50\n1e3\n007\n"),
        ("dates", b"@Pday,x\n2024-01-31,1\n2024-02-29,2\n1969-12-31,3\n"),
        ("times", b"@@at\n2024-01-31T12:30:00.25Z\n2024-01-31 13:30:00+01:00\n1970-01-01\n"),
        ("digits_as_dates", b"@\x80day\n20240131\n20240229\n20240301\n"),
        ("words", b"@@flag,word\nTrue,yes\nFalse,no\ntrue,maybe\nFALSE,no\n"),
        ("numbers_as_words", b"@\xc0flag\n1\n0\n1e-400\n1.0\n"),
        ("holes", b"@Ba,c,d,t\n1,x,2024-01-31,yes\n,NA,?,null\n4,y,2024-02-01,no\n"),
        ("holes_dropped", b"@Qa,c,d\n1,x,2024-01-31\n,z,2024-01-30\n4,,2024-02-01\n5,y,1999-01-01\n6,x,1999-01-01\n"),
        ("hole_of_form_feed", b"@Jc\n\x0c\nelm\noak\n"),
        ("point_mass", b"@@rain\n0\n0\n0.5\n0\n1.25\n0\n2.75\n0\n0.125\n0\n3.5\n0\n"),
    ] {
        save("csv", "valid", name, text);
    }
    save("csv", "valid", "gzip", [b"@@", &gzip(plain)[..]].concat());
    save(
        "csv",
        "valid",
        "gzip_members",
        [b"@@", &gzip(plain)[..], &gzip(b"7,8,x\n"), &[0; 9]].concat(),
    );
    save("csv", "valid", "zstd", [b"@@", &zstd::encode_all(&plain[..], 3).unwrap()[..]].concat());
    let packed = gzip(plain);
    for (name, text) in [
        ("empty", &b""[..]),
        ("header_only", b"@@a,b\n"),
        ("open_quote", b"@@a,b\n1,\"2\n3,4\n"),
        ("after_quote", b"@@a,b\n1,\"2\"3\n"),
        ("ragged", b"@@a,b\n1,2\n3\n"),
        ("slip", b"@@a,b\n1,2\n3,4 kg\n"),
        ("zero_byte", b"@@a,b\n1,\0\n"),
        ("no_date", b"@\x80day\n2024-01-31\n2024-02-30\n"),
        ("text_then_number", b"@@c\nelm\n1\n"),
        ("not_utf8", b"@@a,b\n1,\xff\n"),
        ("doubled_name", b"@@a,a\n1,2\n"),
        ("html", b"@@<!DOCTYPE html><html></html>"),
        ("utf16", b"@@\xff\xfea\0,\0b\0\n\x001\0,\x002\0\n\0"),
    ] {
        save("csv", "damaged", name, text);
    }
    save("csv", "damaged", "gzip_cut", [b"@@", &packed[..packed.len() - 9]].concat());
}

fn npy_file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn write_npy() {
    let header = |descr: &str, fortran: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    };
    let doubles: Vec<u8> =
        [1.0, 2.5, -3.0, 1e-300, 0.0, 6e10].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
    for (name, version, text, data) in [
        ("doubles", 1, header("<f8", "False", "(3, 2)"), &doubles[..]),
        ("columns", 1, header("<f8", "True", "(3, 2)"), &doubles),
        ("version_2", 2, header("<f8", "False", "(6,)"), &doubles),
        ("version_3", 3, header(">f4", "False", "(2, 6)"), &doubles),
        ("halves", 1, header("<f2", "False", "(1, 4)"), &[0, 60, 0, 64, 0, 66, 0, 188]),
        ("truths", 1, header("|b1", "False", "(3,)"), &[1, 0, 1]),
        ("bytes", 1, header("|u1", "True", "(2, 2)"), &[1, 2, 3, 4]),
        ("longs", 1, header(">i8", "False", "(3, 2)"), &doubles),
        ("unsigned", 1, header("<u2", "False", "(3, 2)"), &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 255]),
    ] {
        save("npy", "valid", name, npy_file(version, &text, data));
    }
    save("npy", "valid", "gzip", gzip(&npy_file(1, &header("<f8", "True", "(3, 2)"), &doubles)));
    for (name, text, data) in [
        ("objects", header("|O", "False", "(1,)"), &b"\x80\x04K\x01."[..]),
        ("cut", header("<f8", "False", "(3, 2)"), &doubles[..40]),
        ("more", header("<f8", "False", "(1, 2)"), &doubles),
        ("huge", header("<f8", "False", "(4294967296, 4294967296)"), &[]),
        ("long", header("<f8", "True", "(1000000000000, 2)"), &[]),
        ("wide", header("|u1", "False", "(0, 1000000000000)"), &[]),
        ("no_axis", header("<f8", "False", "()"), &[0; 8]),
        ("fields", header("[('a', '<f8')]", "False", "(1,)"), &[0; 8]),
    ] {
        save("npy", "damaged", name, npy_file(1, &text, data));
    }
    save("npy", "damaged", "header_cut", b"\x93NUMPY\x02\x00\x00\x00\x00\x40");
}

/// An archive of members that are stored.
fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut archive = zip::ZipWriter::new(&mut bytes);
    let options = zip::write::SimpleFileOptions::default();
    for (name, member) in members {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(member).unwrap();
    }
    archive.finish().unwrap();
    bytes.into_inner()
}

fn write_images() {
    let idx = |axes: &[u32], data: &[u8]| {
        let axes_of = axes.iter().flat_map(|axis| axis.to_be_bytes());
        [0, 0, 8, axes.len() as u8]
            .into_iter()
            .chain(axes_of)
            .chain(data.to_vec())
            .collect::<Vec<u8>>()
    };
    let bytes: Vec<u8> = (0..12).collect();
    save("idx", "valid", "images", idx(&[3, 2, 2], &bytes));
    save("idx", "valid", "labels", idx(&[12], &bytes));
    save("idx", "valid", "gzip", gzip(&idx(&[2, 6], &bytes)));
    save("idx", "damaged", "cut", idx(&[3, 2, 2], &bytes[..7]));
    save("idx", "damaged", "more", idx(&[2, 2, 2], &bytes));
    save("idx", "damaged", "huge", idx(&[u32::MAX; 4], &bytes));
    save("idx", "damaged", "header_cut", [0, 0, 8, 3, 0, 0]);

    let npy = |kind: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        npy_file(1, &header, data)
    };
    let images = npy("|u1", "(3, 2, 2)", &bytes);
    let labelled = archive(&[("x", images.clone()), ("y", npy("|i1", "(3,)", &bytes[..3]))]);
    save("npz", "valid", "labelled", &labelled);
    save("npz", "valid", "table", archive(&[("x", npy("<i2", "(3, 2)", &bytes))]));
    save("npz", "damaged", "two", archive(&[("x", images.clone()), ("z", images)]));
    save("npz", "damaged", "cut", &labelled[..labelled.len() - 30]);
    save("npz", "damaged", "objects", archive(&[("x", npy("|O", "(3,)", &bytes))]));

    let of = |image: &image::DynamicImage, format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let grey = image::GrayImage::from_fn(3, 2, |x, y| image::Luma([(40 * x + 9 * y) as u8])).into();
    let png = of(&grey, image::ImageFormat::Png);
    save("image", "valid", "grey", &png);
    let rgb = of(&grey.to_rgb8().into(), image::ImageFormat::Jpeg);
    save("image", "valid", "jpeg", rgb);
    save("image", "damaged", "cut", &png[..png.len() - 16]);
    save("image", "damaged", "deep", of(&grey.to_luma16().into(), image::ImageFormat::Png));
    save("image", "damaged", "none", b"none");
}

fn batch() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = ["u", "v", "u", "w"].into_iter().collect();
    let decimals = Decimal128Array::from(vec![12345, -1, 0, 7]).with_precision_and_scale(10, 2);
    RecordBatch::try_from_iter([
        ("d", Arc::new(Float64Array::from(vec![0.25, f64::NAN, 1e30, -0.0])) as ArrayRef),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5, -2.0, 3.25]))),
        ("i", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]))),
        ("s", Arc::new(StringArray::from(vec!["p", "q", "", "r"]))),
        ("t", Arc::new(BooleanArray::from(vec![true, false, true, true]))),
        ("w", Arc::new(words)),
        ("x", Arc::new(decimals.unwrap())),
    ])
    .unwrap()
}

fn write_parquet() {
    let plain = WriterProperties::builder().set_dictionary_enabled(false);
    let old = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_1_0);
    let new = || WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0);
    let packed = |compression| old.clone().set_compression(compression).build();
    let file = |batch: &RecordBatch, properties: WriterProperties| {
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    };
    let (all, some) = (batch(), batch().project(&[1, 2]).unwrap());
    for (name, batch, properties) in [
        ("all", &all, WriterProperties::default()),
        ("plain", &all, plain.clone().build()),
        ("version_2", &all, new().build()),
        ("snappy", &some, packed(Compression::SNAPPY)),
        ("zstd", &some, packed(Compression::ZSTD(ZstdLevel::default()))),
        ("lz4", &some, packed(Compression::LZ4_RAW)),
        ("gzip", &some, packed(Compression::GZIP(Default::default()))),
        ("brotli", &some, packed(Compression::BROTLI(Default::default()))),
        ("split", &some, plain.clone().set_encoding(Encoding::BYTE_STREAM_SPLIT).build()),
        (
            "delta",
            &some.project(&[1]).unwrap(),
            plain.clone().set_encoding(Encoding::DELTA_BINARY_PACKED).build(),
        ),
        ("groups", &some, old.clone().set_max_row_group_row_count(Some(2)).build()),
    ] {
        save("parquet", "valid", name, file(batch, properties));
    }
    let wide = Decimal128Array::from(vec![12345, -1]).with_precision_and_scale(38, 2).unwrap();
    let wide = RecordBatch::try_from_iter([("x", Arc::new(wide) as ArrayRef)]).unwrap();
    save("parquet", "valid", "wide_decimals", file(&wide, WriterProperties::default()));
    let text = all.project(&[3]).unwrap();
    let delta = plain.set_encoding(Encoding::DELTA_BYTE_ARRAY).build();
    save("parquet", "damaged", "delta_text", file(&text, delta));
    let whole = file(&some, WriterProperties::default());
    save("parquet", "damaged", "cut", &whole[..whole.len() - 9]);
    save("parquet", "damaged", "footer_only", [b"PAR1", &whole[whole.len() - 8..]].concat());
    let mut outside = b"PAR1".to_vec();
    outside.extend([
        0x15, 2, 0x19, 0x1c, 0x48, 1, b's', 0, 0x16, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0,
    ]);
    outside.extend([18, 0, 0, 0]);
    outside.extend(b"PAR1");
    save("parquet", "damaged", "long_list", outside);
}

fn write_arrow() {
    let batch = batch();
    let some = batch.project(&[1, 2, 3]).unwrap();
    let options =
        |compression| IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let file = |batch: &RecordBatch, compression| {
        let mut writer =
            FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options(compression))
                .unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    };
    let stream = |batch: &RecordBatch, compression| {
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options(compression))
                .unwrap();
        writer.write(batch).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    };
    save("arrow", "valid", "file", file(&batch, None));
    save("arrow", "valid", "file_lz4", file(&some, Some(CompressionType::LZ4_FRAME)));
    save("arrow", "valid", "stream", stream(&batch, None));
    save("arrow", "valid", "stream_zstd", stream(&some, Some(CompressionType::ZSTD)));
    let whole = file(&some, None);
    save("arrow", "damaged", "cut", &whole[..whole.len() - 9]);
    save("arrow", "damaged", "mark_only", &whole[..8]);
    save("arrow", "damaged", "no_schema", [&[0xff; 4][..], &[0; 4]].concat());
}
