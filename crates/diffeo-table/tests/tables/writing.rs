//! Writers: whole files or none.

use diffeo::{ErrorKind, Rows};
use diffeo_table::{Chunk, Format, Output, Writer};

use crate::files::{Folder, names, read, sample_chunk, says};

fn entries(folder: &Folder) -> Vec<String> {
    let list = std::fs::read_dir(folder.path("x").parent().unwrap()).unwrap();
    list.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn nothing_is_left_of_a_writer_that_does_not_finish() {
    let folder = Folder::new();
    for name in ["d.csv", "d.parquet", "d.arrow", "d.npy", "d.csv.gz"] {
        let mut writer = Writer::create(&Output::Path(folder.path(name)), None, false).unwrap();
        writer.write(&sample_chunk(10)).unwrap();
        assert!(!folder.path(name).exists());
        drop(writer);
        assert!(entries(&folder).is_empty(), "{:?}", entries(&folder));
    }
}

#[test]
fn an_existing_file_is_kept_unless_asked_to_replace_it() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "old\n");
    let error = Writer::create(&Output::Path(path.clone()), None, false).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    says(&error, &["exists", "--force"]);
    let mut writer = Writer::create(&Output::Path(path.clone()), None, true).unwrap();
    writer.write(&sample_chunk(1)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\n");
    writer.finish().unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("a,b\n"));

    // Someone else was faster.
    let path = folder.path("e.csv");
    let mut writer = Writer::create(&Output::Path(path.clone()), None, false).unwrap();
    writer.write(&sample_chunk(1)).unwrap();
    std::fs::write(&path, "theirs\n").unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n");
    assert_eq!(entries(&folder).len(), 2);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_at_once() {
    let folder = Folder::new();
    let refused = |path: std::path::PathBuf, format| {
        Writer::create(&Output::Path(path), format, true).err().unwrap()
    };
    assert_eq!(refused(folder.path("no/such/folder/d.csv"), None).kind(), ErrorKind::Io);
    assert_eq!(
        refused(folder.path("x").parent().unwrap().to_path_buf(), Some(Format::Csv)).kind(),
        ErrorKind::Io
    );
    assert_eq!(refused(folder.path("d.xlsx"), None).kind(), ErrorKind::Config);
    assert_eq!(refused(folder.path("d.parquet.gz"), None).kind(), ErrorKind::Config);
    let stdout = Writer::create(&Output::Stdout(Format::Npy), None, false).err().unwrap();
    assert_eq!(stdout.kind(), ErrorKind::Config);
}

#[cfg(unix)]
#[test]
fn a_symlink_is_followed_and_stays_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let real = folder.file("real.csv", "old\n");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path("link.csv");
    std::os::unix::fs::symlink("real.csv", &link).unwrap();
    crate::files::write(&link, &sample_chunk(2)).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(read(&real).unwrap().rows.len(), 2);
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let mut writer =
        Writer::create(&Output::Path("/dev/null".into()), Some(Format::Csv), true).unwrap();
    writer.write(&sample_chunk(1)).unwrap();
    writer.finish().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_io_error() {
    for format in [Format::Csv, Format::Parquet, Format::Arrow, Format::JsonLines] {
        let mut writer =
            Writer::create(&Output::Path("/dev/full".into()), Some(format), true).unwrap();
        let outcome = writer.write(&sample_chunk(100_000)).and_then(|()| writer.finish());
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{format}: {error}");
        says(&error, &["/dev/full", "No space left"]);
    }
}

#[test]
fn columns_must_stay_the_same() {
    let folder = Folder::new();
    let mut writer = Writer::create(&Output::Path(folder.path("d.csv")), None, false).unwrap();
    writer.write(&sample_chunk(1)).unwrap();
    let other = sample_chunk(1).with_column("c", vec![0.0]).unwrap();
    assert_eq!(writer.write(&other).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn empty_tables_have_a_header() {
    let folder = Folder::new();
    let path = folder.path("d.csv");
    crate::files::write(&path, &sample_chunk(0)).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "a,b\n");
    let writer = Writer::create(&Output::Path(folder.path("e.csv")), None, false).unwrap();
    assert!(writer.finish().is_err());
}

#[test]
fn integers_are_whole_or_refused() {
    let rows = Rows::new(vec![1.5], 1).unwrap();
    let error = Chunk::from_rows(&names(&["n"]), &rows, &[true]).unwrap_err();
    says(&error, &["column \"n\"", "whole numbers", "1.5"]);
    let doubled = Rows::new(vec![1.0, 2.0], 2).unwrap();
    assert!(Chunk::from_rows(&names(&["n", "n"]), &doubled, &[false, false]).is_err());
    assert!(Chunk::from_rows(&names(&["n"]), &doubled, &[false]).is_err());
}

#[test]
fn npy_holds_numbers_only() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,t\n1,x\n");
    let chunk = &crate::files::chunks(&path, &diffeo_table::ReadOptions::default()).unwrap()[0];
    says(
        &crate::files::write(&folder.path("d.npy"), chunk).unwrap_err(),
        &["npy holds only numbers", "\"t\""],
    );
    assert!(!folder.path("d.npy").exists());
}
