//! Files: named tensors and texts in one container, and how it reaches the disk whole.

pub mod container;
pub mod storage;
