//! Where a layer stands in a flow.

use crate::error::{Error, Result};

/// Where a layer stands: how wide its rows and their contexts are, and how many layers it is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Numbers in a row.
    pub dims: usize,
    /// Numbers in its context; 0 without context.
    pub context: usize,
    /// How many layers it is inside of.
    pub depth: usize,
}

impl Place {
    /// Deepest nesting of layers.
    pub const DEPTH_MAX: usize = 8;

    /// The place of a layer in a flow.
    pub fn new(dims: usize, context: usize) -> Self {
        Self { dims, context, depth: 0 }
    }

    /// The place of a layer inside one that stands here.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if that is too deep.
    pub fn inside(self) -> Result<Self> {
        if self.depth == Self::DEPTH_MAX {
            return Err(Error::config(format!(
                "transforms may nest {} deep at most",
                Self::DEPTH_MAX
            )));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// Refuses a list that does not have an entry for each column.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with both lengths.
    pub fn expect_width(&self, name: &str, found: usize) -> Result<()> {
        if found == self.dims {
            return Ok(());
        }
        Err(Error::config(format!(
            "{name}: expected one entry for each of {} columns, found {found}",
            self.dims
        )))
    }

    /// Refuses an image that is not as large as a row: its lines, the pixels of each, and the numbers of a pixel.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with both.
    pub fn expect_image(&self, name: &str, [height, width, channels]: [usize; 3]) -> Result<()> {
        let numbers = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if numbers == Some(self.dims) && self.dims > 0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "{name}: expected an image of {} numbers, found {height} x {width} pixels of {channels}",
            self.dims
        )))
    }
}
