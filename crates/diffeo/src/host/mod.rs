//! Numbers on the host: rows, small matrices, random streams, threads, sums.

pub(crate) mod assignment;
pub(crate) mod draws;
pub(crate) mod likelihood;
pub(crate) mod linalg;
pub(crate) mod normal;
pub(crate) mod parallel;
pub(crate) mod random;
pub(crate) mod reservoir;
pub(crate) mod rows;
