//! Recognises what people offer as a model by mistake, so that the message can say what it is.

/// What a file that begins with `start` looks like. For messages only: nothing of these formats is ever interpreted.
pub(super) fn describe(start: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 16] = [
        (
            b"version https://git-lfs",
            "a git-LFS pointer (run \"git lfs pull\" to get the file itself)",
        ),
        (b"\x7fELF", "a program (ELF)"),
        (b"MZ", "a Windows program"),
        (b"\x1f\x8b", "gzip (decompress it first)"),
        (b"\x28\xb5\x2f\xfd", "zstd (decompress it first)"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 (Keras?)"),
        (b"GGUF", "a GGUF model"),
        (b"PAR1", "a Parquet table"),
        (b"ARROW1", "an Arrow table"),
        (b"BZh", "bzip2 (decompress it first)"),
        (b"\xfd7zXZ", "xz (decompress it first)"),
        (b"\x89PNG", "a picture (PNG)"),
        (b"%PDF", "a PDF document"),
        (b"{", "JSON text"),
        (b"#!", "a script"),
    ];
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Some(zip(start));
    }
    let text = start.trim_ascii_start();
    if text.first() == Some(&b'<') {
        return Some("HTML or XML (a download page instead of the file?)");
    }
    match *start {
        // PROTO opcode and protocol 2 to 5: pickle, and what torch.save wrote before it used zip.
        [0x80, 2..=5, ..] => {
            Some("a pickle, which can run code when it is loaded (.pkl or an old .pt)")
        }
        // ONNX is a protobuf message whose field 1 (ir_version, varint) comes first, then field 2 (producer_name).
        [0x08, 1..=20, 0x12, ..] => Some("an ONNX model"),
        _ if start.len() > 2
            && start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) =>
        {
            Some("text")
        }
        _ => None,
    }
}

/// Tells the zip archives of PyTorch and NumPy apart by the name of their first member.
fn zip(start: &[u8]) -> &'static str {
    let has = |name: &[u8]| start.windows(name.len()).any(|w| w == name);
    if has(b"data.pkl") || has(b"/version") || has(b"constants.pkl") {
        "a PyTorch model (.pt): a zip with a pickle in it, which can run code when it is loaded"
    } else if has(b".npy") {
        "a NumPy archive (.npz)"
    } else {
        "a zip archive"
    }
}
