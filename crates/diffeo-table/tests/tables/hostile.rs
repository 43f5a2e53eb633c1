//! Every truncation and many byte changes of small files: A14, A15. They run in a process of their own with little memory, so
//! that a reservation as large as a file claims would end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray,
};
use diffeo::ErrorKind;
use diffeo_table::{Output, ReadOptions, Writer};

use crate::binary_files::{npy, parquet};
use crate::files::{Folder, chunks, gzip, says};

const MARK: &str = "DIFFEO_TABLE_LITTLE_MEMORY";
const ADDRESS_SPACE_KIB: u32 = 1 << 20;

/// Runs the named test again in a process with an address space of 1 GiB; true in that process.
fn with_little_memory(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() || cfg!(not(target_os = "linux")) {
        return true;
    }
    let outcome = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {ADDRESS_SPACE_KIB}; exec \"$0\" --exact hostile::{test} --test-threads=1 --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&outcome.stdout),
        String::from_utf8_lossy(&outcome.stderr)
    );
    assert!(outcome.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    assert!(!text.contains("panicked"), "a panic was not silent: {text}");
    false
}

fn batch() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = ["u", "v", "u", "w"].into_iter().collect();
    RecordBatch::try_from_iter([
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5, -2.0, 3.25])) as ArrayRef),
        ("i", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]))),
        ("s", Arc::new(StringArray::from(vec!["p", "q", "", "r"]))),
        ("t", Arc::new(BooleanArray::from(vec![true, false, true, true]))),
        ("w", Arc::new(words)),
    ])
    .unwrap()
}

fn ipc(stream: bool, compression: Option<arrow_ipc::CompressionType>) -> Vec<u8> {
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let batch = batch();
    if stream {
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    } else {
        let mut writer =
            FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }
}

/// Reads all rows of all columns, as text, as a user of the file would.
fn attempt(folder: &Folder, name: &str, bytes: &[u8]) -> Result<usize, diffeo::Error> {
    let path = folder.file(name, bytes);
    let begin = Instant::now();
    let outcome = chunks(&path, &ReadOptions::default()).and_then(|parts| {
        for (i, chunk) in parts.iter().enumerate() {
            let _ = chunk.numbers(&chunk.columns());
            // A damaged batch that was let through must still be sound enough to be written.
            let copy = Output::Path(folder.path(&format!("copy{i}.csv")));
            Writer::create(&copy, None, false)?.write(chunk)?;
        }
        Ok(parts.iter().map(diffeo_table::Chunk::rows).sum())
    });
    assert!(begin.elapsed() < Duration::from_secs(2), "{name} took {:?}", begin.elapsed());
    if let Err(error) = &outcome {
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit), "{error:?}");
    }
    outcome
}

/// Every prefix must be refused, every changed byte must give an error or some answer.
fn attack(name: &str, bytes: &[u8], prefixes_fail: bool) {
    let folder = Folder::new();
    attempt(&folder, name, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    for n in 0..bytes.len() {
        let outcome = attempt(&folder, name, &bytes[..n]);
        assert!(
            !prefixes_fail || outcome.is_err(),
            "{name}: the first {n} of {} bytes were accepted",
            bytes.len()
        );
    }
    let mut changed = bytes.to_vec();
    for i in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            changed[i] ^= flip;
            let _ = attempt(&folder, name, &changed);
            changed[i] = bytes[i];
        }
    }
}

#[test]
fn a14_every_truncation_and_byte_change_of_npy() {
    if with_little_memory("a14_every_truncation_and_byte_change_of_npy") {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n";
        attack("d.npy", &npy(header, &[0; 24]), true);
    }
}

#[test]
fn a15_every_truncation_and_byte_change_of_parquet() {
    if with_little_memory("a15_every_truncation_and_byte_change_of_parquet") {
        attack("d.parquet", &parquet(&batch()), true);
    }
}

#[test]
fn a15_every_truncation_and_byte_change_of_compressed_parquet() {
    use parquet::basic::{Compression, ZstdLevel};
    if with_little_memory("a15_every_truncation_and_byte_change_of_compressed_parquet") {
        for compression in
            [Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default()), Compression::LZ4_RAW]
        {
            let properties = parquet::file::properties::WriterProperties::builder()
                .set_compression(compression)
                .set_writer_version(parquet::file::properties::WriterVersion::PARQUET_1_0)
                .build();
            let batch = batch().project(&[0, 1]).unwrap();
            let mut writer =
                parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))
                    .unwrap();
            writer.write(&batch).unwrap();
            attack("d.parquet", &writer.into_inner().unwrap(), true);
        }
    }
}

#[test]
fn a15_every_truncation_and_byte_change_of_arrow() {
    use arrow_ipc::CompressionType;
    if with_little_memory("a15_every_truncation_and_byte_change_of_arrow") {
        attack("d.arrow", &ipc(false, None), true);
        attack("d.arrow", &ipc(false, Some(CompressionType::LZ4_FRAME)), true);
        attack("d.arrows", &ipc(true, Some(CompressionType::ZSTD)), false);
    }
}

#[test]
fn a3_every_truncation_and_byte_change_of_csv() {
    if with_little_memory("a3_every_truncation_and_byte_change_of_csv") {
        // A prefix that ends with a whole row is a table too.
        attack("d.csv", b"a,\"b\"\r\n1,2.5e0\r\n-3,\"4\"\r\n5,nan\r\n", false);
        attack("d.tsv", b"\xef\xbb\xbfa\tb\n1\t2\n3\t4\n", false);
    }
}

#[test]
fn a15_every_truncation_and_byte_change_of_gzip_csv() {
    if with_little_memory("a15_every_truncation_and_byte_change_of_gzip_csv") {
        attack("d.csv.gz", &gzip(b"a,b\n1,2\n3,\"4\"\n"), true);
        attack("d.csv.zst", &zstd::encode_all(&b"a,b\n1,2\n3,4\n"[..], 3).unwrap(), true);
    }
}

#[test]
fn a15_footer_that_lies_about_lists_is_refused_before_the_decoder_sees_it() {
    // A FileMetaData whose list of row groups claims 2^31 - 1 entries.
    let footer = [
        0x15, 2, 0x19, 0x1c, 0x48, 1, b's', 0, 0x16, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0,
    ];
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    let folder = Folder::new();
    says(&attempt(&folder, "d.parquet", &bytes).unwrap_err(), &["footer cannot be understood"]);
}

#[test]
fn a15_text_in_delta_encodings_is_refused_with_a_hint() {
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(parquet::basic::Encoding::DELTA_BYTE_ARRAY)
        .build();
    let batch = batch().project(&[2]).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let folder = Folder::new();
    let error = attempt(&folder, "d.parquet", &writer.into_inner().unwrap()).unwrap_err();
    says(&error, &["column \"s\"", "delta encoding", "dictionary encoding"]);
}
