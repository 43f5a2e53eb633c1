//! Cutting rows into blocks and running them on several threads.

use std::ops::Range;

use crate::engine::padded;
use crate::error::Result;
use crate::host::parallel;
use crate::host::rows::Rows;

/// Most rows of a block: enough for full speed, few enough for constant memory.
const BLOCK_ROWS_MAX: usize = 1024;

/// The blocks of a table.
pub(super) struct Blocks {
    rows: usize,
    threads: usize,
    /// Rows of a block. A row's bits do not depend on it, so it may follow from the number of threads.
    block: usize,
}

/// One block.
pub(super) struct Block(Range<usize>);

/// Work that is worth another thread, in multiplications: some 50 microseconds, about what it takes to start one or to wake it up.
const WORK_MIN: u64 = 4_000_000;

/// What a row costs beside what the flow does with it.
const ROW_WORK: u64 = 100;

impl Blocks {
    /// `work`: multiplications that each row takes.
    pub(super) fn new(rows: usize, threads: usize, work: u64) -> Self {
        // A row without weights is still read, mapped and written.
        let worth = work.max(ROW_WORK).saturating_mul(rows as u64) / WORK_MIN;
        let threads = threads.min(usize::try_from(worth).unwrap_or(usize::MAX)).max(1);
        let block = padded(rows.div_ceil(threads)).clamp(padded(1), BLOCK_ROWS_MAX);
        Self { rows, threads, block }
    }

    /// Runs `work` on every block and returns the results in order.
    pub(super) fn run<R: Send>(&self, work: impl Fn(Block) -> Result<R> + Sync) -> Result<Vec<R>> {
        let block = |i: usize| Block(i * self.block..((i + 1) * self.block).min(self.rows));
        parallel::map(self.rows.div_ceil(self.block), self.threads, |i| work(block(i)))
    }
}

impl Block {
    pub(super) fn start(&self) -> usize {
        self.0.start
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The rows of the block.
    pub(super) fn of(&self, rows: &Rows) -> Rows {
        rows.slice(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn f10_a_panic_in_a_worker_is_an_error_and_harms_no_later_work() {
        let blocks = Blocks::new(5000, 3, 1 << 20);
        let error = blocks
            .run(|block| match block.start() {
                0 => Ok(block.len()),
                _ => panic!("as a test asked for"),
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let alone = Blocks::new(7, 3, 1).run::<()>(|_| panic!("as a test asked for"));
        assert_eq!(alone.unwrap_err().kind(), ErrorKind::Internal);
        assert!(error.message().contains("please report"), "{error}");
        let lens = blocks.run(|block| Ok(block.len())).unwrap();
        assert_eq!(lens.iter().sum::<usize>(), 5000);
    }
}
