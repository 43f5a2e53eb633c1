//! One decoder a format, and what only they need.

pub(crate) mod array;
pub(crate) mod arrow_ipc;
pub(crate) mod batches;
pub(crate) mod clip_array;
pub(crate) mod clip_column;
pub(crate) mod clip_files;
pub(crate) mod clips;
pub(crate) mod decode;
pub(crate) mod idx;
pub(crate) mod image_column;
pub(crate) mod image_folder;
pub(crate) mod images;
pub(crate) mod npy;
pub(crate) mod npy_header;
pub(crate) mod npz;
pub(crate) mod parquet;
pub(crate) mod parquet_checks;
pub(crate) mod records;
pub(crate) mod separator;
pub(crate) mod text;
pub(crate) mod text_header;
pub(crate) mod thrift;
