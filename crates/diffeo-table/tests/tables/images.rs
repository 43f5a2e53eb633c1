//! Images: arrays, archives of arrays, IDX files and folders.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::binary_files;
use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeListArray, Int64Array, RecordBatch, StringArray, StructArray,
    UInt8Array,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field};
use diffeo::{Column, ImageShape};
use diffeo_table::{
    Format, ImageArrayWriter, Input, MemoryLimit, Missing, Output, ReadOptions, Reader, Writer,
    read_rows, read_table,
};
use image::{DynamicImage, GrayImage, LumaA, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;

fn open(path: &Path) -> diffeo::Result<Reader> {
    Reader::open(&Input::Path(path.to_owned()), &ReadOptions::default())
}

fn fault(path: &Path) -> String {
    let read = || -> diffeo::Result<()> {
        let mut reader = open(path)?;
        while reader.next_chunk()?.is_some() {}
        Ok(())
    };
    read().unwrap_err().to_string()
}

/// The numbers of all images, and their labels.
fn read(path: &Path) -> (Vec<f64>, Vec<String>) {
    let mut reader = open(path).unwrap();
    let columns = reader.image().unwrap().columns();
    let labelled = reader.columns().iter().any(|name| name == "label");
    let (rows, _) = read_rows(
        &Input::Path(path.to_owned()),
        &columns,
        &ReadOptions::default(),
        MemoryLimit::unlimited(),
    )
    .unwrap();
    let mut labels = Vec::new();
    if labelled {
        reader.select(&["label".to_owned()]).unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            let found = chunk.numbers(&["label".to_owned()]).unwrap();
            labels.extend(found.values().iter().map(f64::to_string));
        }
    }
    (rows.into_values(), labels)
}

fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    binary_files::npy(&binary_files::header(kind, "False", shape), data)
}

fn idx(axes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn npz(path: &Path, members: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (i, (name, bytes)) in members.iter().enumerate() {
        let method = match i % 2 {
            0 => zip::CompressionMethod::Stored,
            _ => zip::CompressionMethod::Deflated,
        };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn arrays_of_bytes_with_three_axes_or_more_are_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let data: Vec<u8> = (0..24).collect();
    for (shape, image) in [
        ("(4, 2, 3)", ImageShape::of_bytes(2, 3, 1)),
        ("(2, 2, 2, 3)", ImageShape::of_bytes(2, 2, 3)),
        ("(3, 1, 8)", ImageShape::of_bytes(1, 8, 1)),
    ] {
        std::fs::write(&path, npy("|u1", shape, &data)).unwrap();
        assert_eq!(open(&path).unwrap().image(), Some(image));
        assert!(read(&path).0.into_iter().eq((0..24).map(f64::from)));
    }
    std::fs::write(&path, npy("|u1", "(12, 2)", &data)).unwrap();
    assert_eq!(open(&path).unwrap().image(), None);
    std::fs::write(&path, npy("|u1", "(2, 3, 2, 2)", &data[..24])).unwrap();
    assert_eq!(open(&path).unwrap().image(), Some(ImageShape::of_bytes(3, 2, 2)));
    std::fs::write(&path, npy("<f4", "(3, 1, 2)", &data)).unwrap();
    assert!(fault(&path).contains("astype('uint8')"));
    std::fs::write(&path, npy("|u1", "(5, 2, 3)", &data)).unwrap();
    assert!(fault(&path).contains("cut short"));
}

#[test]
fn written_arrays_are_read_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let image = ImageShape::of_bytes(2, 2, 3);
    let rows = diffeo::Rows::new((0..24).map(f64::from).collect(), 12).unwrap();
    let mut writer = ImageArrayWriter::create(&path, image, false).unwrap();
    writer.write(&rows).unwrap();
    writer.write(&rows).unwrap();
    assert!(!path.exists(), "nothing before the end");
    writer.finish().unwrap();
    assert_eq!(open(&path).unwrap().image(), Some(image));
    assert_eq!(read(&path).0, [rows.values(), rows.values()].concat());
    assert!(ImageArrayWriter::create(&path, image, false).is_err());
}

#[test]
fn idx_files_have_the_labels_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some-images-idx3-ubyte");
    let labels = folder.path().join("some-labels-idx1-ubyte");
    let data: Vec<u8> = (0..12).collect();
    std::fs::write(&path, idx(&[3, 2, 2], &data)).unwrap();
    let reader = open(&path).unwrap();
    assert_eq!(reader.format(), Format::Idx);
    assert_eq!(reader.image(), Some(ImageShape::of_bytes(2, 2, 1)));
    assert_eq!(reader.columns().len(), 4);
    std::fs::write(&labels, idx(&[3], &[7, 0, 255])).unwrap();
    let (found, of) = read(&path);
    assert!(found.into_iter().eq((0..12).map(f64::from)));
    assert_eq!(of, ["7", "0", "255"]);
    std::fs::write(&labels, idx(&[2], &[7, 0])).unwrap();
    assert!(fault(&path).contains("for each of the 3 images, found 2"));
    std::fs::write(&labels, idx(&[3], &[7, 0])).unwrap();
    assert!(fault(&path).contains("expected 3 labels"));
    std::fs::remove_file(&labels).unwrap();
    std::fs::write(&path, idx(&[3, 2, 2], &data[..11])).unwrap();
    assert!(fault(&path).contains("cut short"));
    std::fs::write(&path, &idx(&[3, 2, 2], &data)[..10]).unwrap();
    assert!(fault(&path).contains("cut short"));
}

#[test]
fn archives_have_one_array_of_images_and_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let images = npy("|u1", "(3, 2, 2)", &(0..12).collect::<Vec<u8>>());
    let labels = npy("<i2", "(3,)", &[4, 0, 255, 255, 6, 0]);
    let names = npy("<U3", "(3,)", &[0; 36]);
    npz(&path, &[("names", names), ("y", labels.clone()), ("x", images.clone())]);
    assert_eq!(open(&path).unwrap().format(), Format::Npz);
    let (found, of) = read(&path);
    assert!(found.into_iter().eq((0..12).map(f64::from)));
    assert_eq!(of, ["4", "-1", "6"]);
    npz(&path, &[("train", images.clone()), ("test", images)]);
    let found = fault(&path);
    assert!(found.contains("\"train\" (3, 2, 2)") && found.contains("by itself"), "{found}");
    npz(&path, &[("table", npy("<i2", "(1, 3)", &[4, 0, 255, 255, 6, 0]))]);
    let table = read_table(
        &Input::Path(path.clone()),
        None,
        &ReadOptions::default(),
        MemoryLimit::unlimited(),
    );
    assert_eq!(table.unwrap().rows.values(), [4.0, -1.0, 6.0]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(fault(&path).contains("damaged"), "{}", fault(&path));
}

#[test]
fn folders_hold_images_of_one_size_and_folders_of_them_labels() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let grey = |v: u8| GrayImage::from_fn(3, 2, |x, y| image::Luma([v + (x + 3 * y) as u8]));
    std::fs::create_dir(at("dog")).unwrap();
    std::fs::create_dir(at("cat")).unwrap();
    grey(10).save(at("dog/b.png")).unwrap();
    grey(20).save(at("cat/a.png")).unwrap();
    std::fs::write(at("cat/notes.txt"), "none").unwrap();
    let mut reader = open(folder.path()).unwrap();
    assert_eq!(reader.image(), Some(ImageShape::of_bytes(2, 3, 1)));
    assert_eq!(reader.columns()[6..], ["label", "file"]);
    assert!(reader.report().notes[0].contains("1 files that are neither"));
    let chunk = reader.next_chunk().unwrap().unwrap();
    let pixels: Vec<String> = reader.columns()[..6].to_vec();
    let found = chunk.numbers(&pixels).unwrap();
    assert_eq!(found.row(0), [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]);
    assert!(chunk.without_columns(&pixels).unwrap().columns() == ["label", "file"]);

    grey(0).save(at("top.png")).unwrap();
    let reader = open(folder.path()).unwrap();
    assert!(reader.columns().len() == 7 && reader.report().notes[0].contains("2 folders"));
    let opaque = image::GrayAlphaImage::from_pixel(3, 2, LumaA([9, 255]));
    opaque.save(at("upper.png")).unwrap();
    assert_eq!(read(folder.path()).0[6..], [9.0; 6]);
    RgbImage::from_pixel(3, 2, Rgb([1, 2, 3])).save(at("v.jpg")).unwrap();
    let found = fault(folder.path());
    assert!(found.contains("v.jpg") && found.contains("2 x 3 x 3"), "{found}");
    std::fs::remove_file(at("v.jpg")).unwrap();
    image::GrayAlphaImage::from_pixel(3, 2, LumaA([9, 7])).save(at("w.png")).unwrap();
    assert!(fault(folder.path()).contains("transparent"));
    let deep = DynamicImage::new_luma16(3, 2);
    deep.save(at("w.png")).unwrap();
    assert!(fault(folder.path()).contains("8 bits"));
    let whole = std::fs::read(at("top.png")).unwrap();
    std::fs::write(at("w.png"), &whole[..whole.len() - 20]).unwrap();
    assert!(fault(folder.path()).contains("cannot be decoded"), "{}", fault(folder.path()));
    std::fs::write(at("w.png"), "not an image").unwrap();
    assert!(fault(folder.path()).contains("w.png"));
}

#[test]
fn a_folder_without_images_and_single_images_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    assert!(fault(folder.path()).contains("PNG or JPEG"));
    let path = folder.path().join("one.png");
    GrayImage::new(3, 2).save(&path).unwrap();
    assert!(fault(&path).contains("name the folder"));
}

/// The frames of a file, each with those before it, and the clips that they are of.
fn clips(path: &Path, earlier: usize) -> (Vec<Vec<f64>>, Vec<String>) {
    let options = ReadOptions { earlier: Some(earlier), ..ReadOptions::default() };
    let mut reader = Reader::open(&Input::Path(path.to_owned()), &options).unwrap();
    let schema = diffeo::Schema::frames(reader.image().unwrap(), earlier);
    let columns: Vec<_> = schema.columns.iter().chain(&schema.context).cloned().collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(reader.columns()[..names.len()], names);
    assert_eq!(reader.columns()[names.len()..], ["clip", "frame"]);
    reader.require_columns(&columns).unwrap();
    let written = tempfile::tempdir().unwrap();
    let out = written.path().join("t.csv");
    let mut writer = Writer::create(&Output::Path(out.clone()), None, false).unwrap();
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        let found = chunk.rows_for(&columns).unwrap();
        rows.extend((0..found.len()).map(|i| found.row(i).to_vec()));
        writer.write(&chunk).unwrap();
    }
    writer.finish().unwrap();
    let text = std::fs::read_to_string(out).unwrap();
    let name = |line: &str| line.split(',').nth(columns.len()).unwrap().to_owned();
    (rows, text.lines().skip(1).map(name).collect())
}

/// A grey GIF of frames of one line.
fn gif(path: &Path, frames: &[&[u8]]) {
    use image::codecs::gif::GifEncoder;
    let mut encoder = GifEncoder::new(std::fs::File::create(path).unwrap());
    for frame in frames {
        let grey = GrayImage::from_raw(frame.len() as u32, 1, frame.to_vec()).unwrap();
        let frame = image::Frame::new(DynamicImage::ImageLuma8(grey).into_rgba8());
        encoder.encode_frame(frame).unwrap();
    }
}

#[test]
fn clips_are_read_from_gif_files_folders_of_frames_and_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = [&[10, 20][..], &[30, 40], &[50, 60]];
    let expected = [
        vec![10.0, 20.0, 0.0, 0.0, 0.0],
        vec![30.0, 40.0, 10.0, 20.0, 1.0],
        vec![50.0, 60.0, 30.0, 40.0, 1.0],
        vec![70.0, 80.0, 0.0, 0.0, 0.0],
        vec![90.0, 99.0, 70.0, 80.0, 1.0],
    ];
    gif(&folder.join("a.gif"), &first);
    assert_eq!(clips(&folder.join("a.gif"), 1).0, expected[..3]);
    // Without being asked, a GIF is the images that it holds.
    let reader = open(&folder.join("a.gif")).unwrap();
    assert_eq!((reader.format(), reader.columns()[0].as_str()), (Format::Clip, "y0x0"));
    assert_eq!(reader.image(), Some(ImageShape::of_bytes(1, 2, 1)));

    let films = folder.join("films");
    std::fs::create_dir(&films).unwrap();
    gif(&films.join("a.gif"), &first);
    gif(&films.join("b.gif"), &[&[70, 80], &[90, 99]]);
    let (rows, names) = clips(&films, 1);
    assert_eq!(rows, expected);
    assert_eq!(names, ["a.gif", "a.gif", "a.gif", "b.gif", "b.gif"]);

    let stills = folder.join("stills");
    for (clip, frames) in [("one", &first[..]), ("two", &[&[70, 80], &[90, 99]])] {
        std::fs::create_dir_all(stills.join(clip)).unwrap();
        for (i, frame) in frames.iter().enumerate() {
            let grey = GrayImage::from_raw(2, 1, frame.to_vec()).unwrap();
            grey.save(stills.join(clip).join(format!("{i}.png"))).unwrap();
        }
    }
    let (rows, names) = clips(&stills, 1);
    assert_eq!(rows, expected);
    assert_eq!(names, ["one", "one", "one", "two", "two"]);
    assert_eq!(clips(&stills.join("two"), 1).0, expected[3..]);

    let array = folder.join("clips.npy");
    let bytes: Vec<u8> = (0..24).collect();
    std::fs::write(&array, npy("|u1", "(2, 3, 1, 2, 2)", &bytes)).unwrap();
    let (rows, names) = clips(&array, 2);
    assert_eq!(rows[2], [8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 2.0]);
    assert_eq!(rows[3][4..], [0.0; 9]);
    assert_eq!(names, ["1", "1", "1", "2", "2", "2"]);
    std::fs::write(&array, npy("|u1", "(12, 1, 2)", &bytes)).unwrap();
    assert_eq!(clips(&array, 0).0.len(), 12);
}

#[test]
fn a_grey_clip_among_those_of_colour_is_one_of_colour() {
    let folder = tempfile::tempdir().unwrap();
    let colour = |name: &str, pixels: [u8; 8]| {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        let frame = image::RgbaImage::from_raw(2, 1, pixels.to_vec()).unwrap();
        image::codecs::gif::GifEncoder::new(file).encode_frame(image::Frame::new(frame)).unwrap();
    };
    colour("a.gif", [0, 0, 0, 255, 255, 255, 255, 255]);
    colour("b.gif", [255, 0, 0, 255, 0, 0, 255, 255]);
    let of = |channels| ReadOptions { earlier: Some(0), channels, ..ReadOptions::default() };
    let shape = |path: &Path, channels| {
        Reader::open(&Input::Path(path.to_owned()), &of(channels))
            .unwrap()
            .image()
            .unwrap()
            .channels
    };
    assert_eq!(shape(folder.path(), None), 3);
    assert_eq!(shape(&folder.path().join("a.gif"), None), 1);
    assert_eq!(shape(&folder.path().join("a.gif"), Some(3)), 3);
}

#[test]
fn what_is_no_clip_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |name: &str, part: &str| {
        let options = ReadOptions { earlier: Some(1), ..ReadOptions::default() };
        let read = || -> diffeo::Result<()> {
            let mut reader = Reader::open(&Input::Path(folder.join(name)), &options)?;
            while reader.next_chunk()?.is_some() {}
            Ok(())
        };
        let error = read().unwrap_err().to_string();
        assert!(error.contains(part), "{name}: {error}");
    };
    std::fs::write(folder.join("t.csv"), "a,b\n1,2\n").unwrap();
    refused("t.csv", "expected clips");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("short.npy", &npy("|u1", "(2, 3, 2, 2)", &[0; 23]));
    refused("short.npy", "expected");
    write("float.npy", &npy("<f4", "(1, 1, 1, 1)", &[0; 4]));
    refused("float.npy", "uint8");
    write("flat.npy", &npy("|u1", "(4, 4)", &[0; 16]));
    refused("flat.npy", "(frames, height, width");
    gif(&folder.join("whole.gif"), &[&[1, 2], &[3, 4]]);
    let whole = std::fs::read(folder.join("whole.gif")).unwrap();
    write("cut.gif", &whole[..whole.len() - 12]);
    refused("cut.gif", "cannot be decoded");
    let films = folder.join("films");
    std::fs::create_dir(&films).unwrap();
    gif(&films.join("a.gif"), &[&[1, 2]]);
    gif(&films.join("b.gif"), &[&[1, 2, 3]]);
    refused("films", "1 x 2 as in \"a.gif\", found 1 x 3");
    std::fs::create_dir(folder.join("empty")).unwrap();
    refused("empty", "expected a folder of GIF");
}

/// A Parquet and an Arrow file of these columns.
fn files_of(folder: &Path, columns: Vec<(&str, ArrayRef)>) -> [std::path::PathBuf; 2] {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let paths = ["images.parquet", "images.arrow"].map(|name| folder.join(name));
    let create = |path: &Path| std::fs::File::create(path).unwrap();
    let mut parquet = ArrowWriter::try_new(create(&paths[0]), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    let mut arrow = FileWriter::try_new(create(&paths[1]), &batch.schema()).unwrap();
    arrow.write(&batch).unwrap();
    arrow.finish().unwrap();
    paths
}

/// Lists of so many of the values each.
fn lists(values: ArrayRef, len: i32) -> ArrayRef {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(field, len, values, None))
}

#[test]
fn a_column_of_lists_is_one_of_images() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..24).collect();
    let expected: Vec<f64> = bytes.iter().map(|b| f64::from(*b)).collect();
    let numbers: ArrayRef = Arc::new(UInt8Array::from(bytes.clone()));
    let wide: ArrayRef = Arc::new(Int64Array::from_iter_values(0..24));
    let label = |n: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(0..n)) };
    let grey = |height, width| ImageShape::of_bytes(height, width, 1);
    for (images, n, shape) in [
        (lists(lists(numbers.clone(), 4), 3), 2, grey(3, 4)),
        (lists(lists(wide.clone(), 4), 3), 2, grey(3, 4)),
        (lists(numbers.clone(), 4), 6, grey(2, 2)),
        (lists(lists(lists(numbers.clone(), 3), 2), 2), 2, ImageShape::of_bytes(2, 2, 3)),
    ] {
        for path in files_of(folder.path(), vec![("image", images.clone()), ("label", label(n))]) {
            let reader = open(&path).unwrap();
            assert_eq!(reader.image(), Some(shape));
            let (found, labels) = read(&path);
            assert_eq!(found, expected, "{shape}");
            assert_eq!(labels, (0..n).map(|i| i.to_string()).collect::<Vec<_>>());
        }
    }
    // Channels before lines.
    let planes = lists(lists(lists(numbers.clone(), 2), 2), 3);
    for path in files_of(folder.path(), vec![("label", label(2)), ("image", planes)]) {
        let (found, _) = read(&path);
        assert_eq!(open(&path).unwrap().image(), Some(ImageShape::of_bytes(2, 2, 3)));
        assert_eq!(found[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
    }
    // Five numbers are no image, nor are lists of any lengths; the other columns can be read.
    let five = lists(Arc::new(UInt8Array::from(vec![1; 10])), 5);
    let mut ragged = ListBuilder::new(ListBuilder::new(Int64Builder::new()));
    for row in [[3, 2], [2, 2]] {
        row.into_iter().for_each(|len| ragged.values().append_value((0..len).map(Some)));
        ragged.append(true);
    }
    let ragged: ArrayRef = Arc::new(ragged.finish());
    for (column, noted) in [(five, false), (ragged, true)] {
        for path in files_of(folder.path(), vec![("list", column.clone()), ("a", label(2))]) {
            let reader = open(&path).unwrap();
            assert_eq!(reader.image(), None);
            let notes = &reader.report().notes;
            assert_eq!(notes.iter().any(|note| note.contains("one length")), noted, "{notes:?}");
            let (input, a) = (Input::Path(path), ["a".to_owned()]);
            let options = ReadOptions::default();
            let table = read_table(&input, Some(&a), &options, MemoryLimit::unlimited()).unwrap();
            assert_eq!(table.rows.values(), [0.0, 1.0]);
            // What was looked at before columns were chosen has no more of them than the rest.
            let options = ReadOptions { chunk_rows: 1, ..options };
            let mut reader = Reader::open(&input, &options).unwrap();
            reader.select_columns(&[Column::real("a")]).unwrap();
            while let Some(chunk) = reader.next_chunk().unwrap() {
                assert_eq!(chunk.columns(), ["a"]);
            }
        }
    }
}

#[test]
fn a_column_of_files_is_one_of_images_and_faults_say_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = |side: u32, level: u8| {
        let image = DynamicImage::from(RgbImage::from_pixel(side, side, Rgb([level, 2, 3])));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let of = |files: &[Option<Vec<u8>>]| -> ArrayRef {
        Arc::new(files.iter().map(Option::as_deref).collect::<BinaryArray>())
    };
    let good = of(&[Some(file(2, 7)), Some(file(2, 9))]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png"]));
    let fields = vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), good.clone()),
        (Arc::new(Field::new("path", DataType::Utf8, true)), names),
    ];
    let structure: ArrayRef = Arc::new(StructArray::from(fields));
    for column in [good.clone(), structure] {
        for path in files_of(folder.path(), vec![("image", column.clone())]) {
            assert_eq!(open(&path).unwrap().image(), Some(ImageShape::of_bytes(2, 2, 3)));
            let (found, _) = read(&path);
            assert_eq!((found[0], found[12], found.len()), (7.0, 9.0, 24));
        }
    }
    for (second, said) in [
        (None, "the image is missing"),
        (Some(file(3, 1)), "2 x 2 x 3 as in row 1, found 3 x 3 x 3"),
        (Some(file(2, 1)[..40].to_vec()), "cannot be decoded"),
    ] {
        for path in
            files_of(folder.path(), vec![("image", of(&[Some(file(2, 7)), second.clone()]))])
        {
            let text = fault(&path);
            assert!(text.contains("\"image\", row 2") && text.contains(said), "{text}");
        }
    }
    for path in files_of(folder.path(), vec![("a", good.clone()), ("b", good)]) {
        assert!(open(&path).err().unwrap().to_string().contains("\"a\" and \"b\""));
    }
    // Rows without an image are a fault, or left out.
    let places: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2, 3]));
    let holes = of(&[None, Some(file(2, 7)), None, Some(file(2, 9))]);
    for path in files_of(folder.path(), vec![("image", holes.clone()), ("a", places.clone())]) {
        assert!(fault(&path).contains("\"image\", row 1: the image is missing; --missing drop"));
        let options = ReadOptions { missing: Missing::Drop, ..ReadOptions::default() };
        let mut reader = Reader::open(&Input::Path(path), &options).unwrap();
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.numbers(&["a".to_owned()]).unwrap().values(), [1.0, 3.0]);
        assert!(reader.next_chunk().unwrap().is_none());
        assert!(reader.report().notes.concat().contains("2 rows without an image were left out"));
    }
    // Lists of which the first is none are left out, and later ones are faults.
    for (numbers, is_one) in
        [([1, 2, 3, 4, 5, 400, 7, 8], true), ([1, 400, 3, 4, 5, 6, 7, 8], false)]
    {
        let wide: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        for path in files_of(folder.path(), vec![("image", lists(lists(wide.clone(), 2), 2))]) {
            let reader = open(&path).unwrap();
            assert_eq!(reader.image().is_some(), is_one);
            let text = if is_one { fault(&path) } else { reader.report().notes.concat() };
            let row = if is_one { "row 2" } else { "row 1" };
            assert!(text.contains("from 0 to 255") && text.contains(row), "{text}");
        }
    }
}
