//! The columns of a table: the part of a model that gives numbers their names and kinds.

use serde::{Deserialize, Serialize};

use super::image::ImageShape;
use super::kind::ColumnKind;
use crate::error::{Error, Result, quoted};
use crate::host::rows::Rows;
use crate::marks::MarkSpec;

/// A named column: what it may hold, and what the training rows said about that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in the table's header.
    pub name: String,
    /// What it may hold.
    pub kind: ColumnKind,
    /// The levels of a category, whose numbers are their places here, or the two words of a boolean, as the table has them. A boolean
    /// without is written 0 and 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// Whether a category has one more level, for all values that are none of [`Column::levels`]: its number is theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
    /// Values that have a probability of their own beside a density, but for the bounds that belong to the kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masses: Vec<f64>,
    /// The first and the last of the whole numbers, or multiples of a step, that have a probability each, in steps; without, they are
    /// dequantised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[i64; 2]>,
    /// The probability of all that the kind allows and no training row had: a category without `other` on a level that is not in the list, a
    /// whole number beyond the range.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unseen: f64,
    /// Whether a value may be missing: that is then an outcome with a probability of its own, and in rows it is NaN.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holes: bool,
    /// Whether the column may be left out of a row, or be given: NaN is then a value that is not known, the density is that of what is
    /// known, and other columns may be drawn given this one. The training rows are shown with columns hidden and given at random.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Whether what is given of an optional column is seen as a number at its point masses, too, of which the most frequent alone are then told apart. (Models of earlier releases see all masses,
    /// and no number there.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbered: bool,
}

/// Point masses of a column that is given that are told apart where its number says the same.
const MASSES_GIVEN: usize = 8;

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// The columns a model was fitted on, in the order of its dimensions, and those it is conditioned on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Schema {
    /// Columns whose density is modelled.
    pub columns: Vec<Column>,
    /// Columns the density is conditional on.
    pub context: Vec<Column>,
    /// The shape of the images whose numbers all these columns are, if that is what rows are: [`ImageShape::columns`].
    pub image: Option<ImageShape>,
    /// The shape of the image whose numbers the first columns of the context are, if they are such: [`ImageShape::given_columns`].
    pub given_image: Option<ImageShape>,
    /// The deviation, in levels, of the Gaussian noise that a model of images has over them in place of the cells of their levels: see [`Schema::noised`].
    pub noise: Option<f64>,
}

/// A schema as a file has it: the columns of images are not written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Column>>,
    #[serde(default)]
    context: Vec<Column>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<ImageShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_image: Option<ImageShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
}

impl From<Schema> for Written {
    fn from(Schema { columns, mut context, image, given_image, noise }: Schema) -> Self {
        context.drain(..given_image.map_or(0, |given| given.numbers().min(context.len())));
        Self { columns: image.is_none().then_some(columns), context, image, given_image, noise }
    }
}

impl TryFrom<Written> for Schema {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let Written { columns, context, image, given_image, noise } = written;
        match (columns, image) {
            (Some(columns), None) if given_image.is_none() && noise.is_none() => {
                Ok(Self::new(columns, context))
            }
            (None, Some(shape)) => {
                let shapes = [shape].into_iter().chain(given_image);
                shapes.into_iter().try_for_each(|shape| shape.validate())?;
                Ok(Self { given_image, noise, ..Self::images(shape) }.given(context))
            }
            _ => Err(Error::config("a schema has either columns or the shape of images")),
        }
    }
}

/// What the columns of a table are to a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// The marks of a row, which come first.
    pub marks: Vec<MarkSpec>,
    /// An entry for each number: which number of the extended context (the context, then a weight for each level or knot of each mark) is 1
    /// where the number is there and 0 where it is not; `None` if it is always there.
    pub gates: Vec<Option<usize>>,
    /// Numbers in a context.
    pub context: usize,
    /// The shape of the images that the numbers make, if they do.
    pub image: Option<ImageShape>,
    /// The shape of the image that the context starts with, if it does.
    pub given_image: Option<ImageShape>,
}

impl Shape {
    /// The gates where the transforms see so many numbers of the context in its place.
    pub(crate) fn gates_behind(&self, context: usize) -> Vec<Option<usize>> {
        let moved = |gate: &Option<usize>| gate.map(|gate| gate - self.context + context);
        self.gates.iter().map(moved).collect()
    }
}

impl Column {
    /// A column of any real numbers.
    pub fn real(name: impl Into<String>) -> Self {
        Self::new(name, ColumnKind::Real)
    }

    /// A column of a kind.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self { name: name.into(), kind, ..Self::default() }
    }

    /// A category with these levels.
    pub fn category<L: Into<String>>(
        name: impl Into<String>,
        levels: impl IntoIterator<Item = L>,
    ) -> Self {
        let levels = levels.into_iter().map(Into::into).collect();
        Self { levels, ..Self::new(name, ColumnKind::Category) }
    }

    /// Whether NaN may stand in a row: an outcome of its own, or a value that is not known.
    pub fn may_be_missing(&self) -> bool {
        self.holes || self.optional
    }

    /// Whether `x` is a value of the column: one of its kind, a point mass, or NaN for a missing one where that may be.
    pub fn contains(&self, x: f64) -> bool {
        if x.is_nan() {
            self.may_be_missing()
        } else {
            self.kind.contains(x) || self.masses.contains(&self.kind.nearest(x))
        }
    }

    /// Whether no two rows should have the same value: there is a density and nothing beside it.
    pub(crate) fn is_dense(&self) -> bool {
        !self.kind.is_discrete() && self.masses.is_empty() && !self.holes
    }

    /// Refuses bounds that are none, lists that have a value twice, and whatever does not belong to the kind.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with what was found.
    fn validate(&self) -> Result<()> {
        self.kind.validate()?;
        let mut seen = std::collections::HashSet::new();
        if let Some(level) = self.levels.iter().find(|level| !seen.insert(level.as_str())) {
            return Err(Error::config(format!("the level {} is there twice", quoted(level))));
        }
        let fault = match self.kind {
            ColumnKind::Category if self.levels.is_empty() && !self.other => {
                "a category needs levels"
            }
            ColumnKind::Category if self.levels.len() > Self::LEVELS_MAX => {
                "a category has 65,536 levels at most; take the rare ones as other"
            }
            ColumnKind::Boolean if !matches!(self.levels.len(), 0 | 2) => "a boolean has two words",
            ColumnKind::Category | ColumnKind::Boolean => "",
            _ if !self.levels.is_empty() || self.other => {
                "only categories and booleans have levels"
            }
            _ => "",
        };
        let mut masses = self.kind.closed_bounds();
        masses.extend(&self.masses);
        let fault = match (fault, self.range) {
            ("", _) if self.masses.len() > Self::MASSES_MAX => {
                "there may be 256 point masses at most"
            }
            ("", _) if !masses.iter().all(|mass| mass.is_finite()) => "point masses must be finite",
            ("", _) if masses.iter().enumerate().any(|(i, a)| masses[..i].contains(a)) => {
                "a point mass is there twice, or is a bound that belongs to the kind"
            }
            ("", range)
                if !self.masses.is_empty()
                    && (range.is_some() || self.kind.is_discrete() && !self.kind.is_whole()) =>
            {
                "point masses stand beside a density, or whole numbers without a range, and there are none"
            }
            ("", _)
                if self.kind.is_whole()
                    && !self.masses.iter().all(|mass| {
                        self.kind.contains(*mass) && self.kind.nearest(*mass) == *mass
                    }) =>
            {
                "a point mass beside whole numbers or multiples of a step is one of them"
            }
            ("", _)
                if !self.masses.is_empty() && matches!(self.kind, ColumnKind::Periodic { .. }) =>
            {
                "a periodic column has no point masses"
            }
            ("", Some([low, high])) if low > high || high.abs_diff(low) >= Self::RANGE_MAX => {
                "a range of whole numbers ends after its start, and has 4,096 numbers at most"
            }
            ("", Some(_)) if !self.kind.is_whole() => "only whole numbers have a range",
            ("", Some(ends)) if !ends.iter().all(|end| self.contains_steps(*end)) => {
                "a range of whole numbers lies within the bounds of its kind"
            }
            ("", _) if !(0.0..1.0).contains(&self.unseen) => {
                "the probability of unseen values is in [0, 1)"
            }
            ("", _) if self.holes && self.optional => {
                "a missing value is an outcome of its own or is not known, not both"
            }
            (fault, _) => fault,
        };
        if fault.is_empty() { Ok(()) } else { Err(Error::config(fault)) }
    }

    fn contains_steps(&self, k: i64) -> bool {
        self.kind.step().is_some_and(|step| self.kind.contains(step.value(k as f64)))
    }

    /// Most levels of a category.
    pub const LEVELS_MAX: usize = 1 << 16;
    /// Most classes of a column, see [`Column::classes`].
    pub const CLASSES_MAX: usize = 1024;
    /// Most point masses.
    pub const MASSES_MAX: usize = 256;
    /// Most whole numbers that have a probability each.
    pub const RANGE_MAX: u64 = 4096;
}

impl Column {
    /// Makes it one that may be left out of a row, or be given: see [`Schema::any_subset`].
    pub fn make_optional(&mut self) {
        (self.holes, self.optional) = (false, true);
        self.numbered = !self.masses.is_empty();
    }

    /// The names of what a category or a truth value may be, by their numbers: its classes, as another column's context. None for other kinds, and for categories of more than 1,024 levels.
    pub fn classes(&self) -> Option<Vec<String>> {
        let words = match self.kind {
            ColumnKind::Boolean if self.levels.is_empty() => vec!["0".into(), "1".into()],
            ColumnKind::Boolean | ColumnKind::Category => self.levels.clone(),
            _ => return None,
        };
        let others = self.other.then(|| "other".to_owned());
        let classes: Vec<String> = words.into_iter().chain(others).collect();
        (classes.len() <= Self::CLASSES_MAX).then_some(classes)
    }

    /// How many rows under some columns have a level that a category without `other` does not have. As a context such a row is scored and drawn for as if it had none of the levels, which only a
    /// fit with [`crate::train::FitOptions::context_dropout`] has learned; in a column of the model it has the probability that was set aside for all such ([`Column::unseen`]).
    pub fn rows_of_unknown_levels(columns: &[Self], rows: &Rows) -> usize {
        let is_unknown = |(column, x): (&Self, &f64)| {
            column.kind == ColumnKind::Category && !column.other && *x >= column.levels.len() as f64
        };
        (0..rows.len()).filter(|&i| columns.iter().zip(rows.row(i)).any(is_unknown)).count()
    }
}

impl Schema {
    /// Columns whose density is modelled, given those of a context.
    pub fn new(columns: Vec<Column>, context: Vec<Column>) -> Self {
        Self { columns, context, image: None, given_image: None, noise: None }
    }

    /// Real columns of these names, without context.
    pub fn real<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { columns: names.into_iter().map(Column::real).collect(), ..Self::default() }
    }

    /// The numbers of images, without context.
    pub fn images(shape: ImageShape) -> Self {
        Self { columns: shape.columns(), image: Some(shape), ..Self::default() }
    }

    /// The frames of clips, each given so many that come before it: these are one image of as many channels more, the last of them first, and black where a clip has not begun yet;
    /// the column [`Self::EARLIER`] behind them says how many there are.
    pub fn frames(shape: ImageShape, earlier: usize) -> Self {
        if earlier == 0 {
            return Self::images(shape);
        }
        let given = ImageShape { channels: shape.channels.saturating_mul(earlier), ..shape };
        let high = i64::try_from(earlier).unwrap_or(i64::MAX);
        let kind = ColumnKind::IntegerRange { low: Some(0), high: Some(high) };
        let schema = Self { given_image: Some(given), ..Self::images(shape) };
        schema.given([Column::new(Self::EARLIER, kind)])
    }

    /// The same images with noise: a model is then of images to whose levels normal numbers of this share of the way from black to white are added, which is all the blur that a density
    /// over few images needs to be one, and draws are cleaned of it by one step ([`crate::Flow::denoised`]). For pictures that look well; such a density bounds no code.
    ///
    /// Reference: Zhai et al. *Normalizing Flows are Capable Generative Models*. ICML 2025, sections 2.3 and 2.4, arXiv:2412.06329.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a share that is not in (0, 0.5], and for what is not images by themselves.
    pub fn noised(self, share: f64) -> Result<Self> {
        let levels = self.image.map_or(0.0, |image| f64::from(image.levels - 1));
        let schema = Self { noise: Some(share * levels), ..self };
        schema.check_noise()?;
        Ok(schema)
    }

    fn check_noise(&self) -> Result<()> {
        let Some(noise) = self.noise else { return Ok(()) };
        let Some(image) = self.image.filter(|_| self.given_image.is_none()) else {
            return Err(Error::config(
                "noise is of images; columns of a table and frames of clips have none",
            ));
        };
        let share = noise / f64::from(image.levels - 1);
        if share > 0.0 && share <= 0.5 {
            return Ok(());
        }
        Err(Error::config(format!(
            "expected noise of a share of the way from black to white above 0 and at most 0.5, found {share}"
        )))
    }

    /// The column that says how many of the frames before one there are.
    pub const EARLIER: &str = "earlier";

    /// How many frames before it each is given, of clips: see [`Self::frames`].
    pub fn earlier_frames(&self) -> usize {
        match (self.image, self.given_image) {
            (Some(image), Some(given)) => given.channels / image.channels,
            _ => 0,
        }
    }

    /// The same columns, each of which may be left out or given: a model of them has every marginal and every conditional density, as far as
    /// it has learned them. Holes are then values that are not known.
    #[must_use]
    pub fn any_subset(mut self) -> Self {
        self.columns.iter_mut().for_each(Column::make_optional);
        self
    }

    /// What a flow of these columns is conditional on: the context, then each column that may be given, missing where it is not.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Column> {
        let optional = self.columns.iter().filter(|column| column.optional);
        let optional = optional.map(|c| {
            let masses = match c.numbered {
                false => c.masses.clone(),
                // One at which there is no number can be told by nothing else.
                true => c
                    .masses
                    .iter()
                    .enumerate()
                    .filter(|(i, x)| *i < MASSES_GIVEN || !c.kind.contains(**x))
                    .map(|(_, x)| *x)
                    .collect(),
            };
            Column { holes: true, optional: false, masses, ..c.clone() }
        });
        self.context.iter().cloned().chain(optional)
    }

    /// The same columns, given these, and an image before them if there is one.
    #[must_use]
    pub fn given(self, context: impl IntoIterator<Item = Column>) -> Self {
        let image = self.given_image.iter().flat_map(ImageShape::given_columns);
        Self { context: image.chain(context).collect(), ..self }
    }

    /// The columns that have a number with a density, in the order of the flow's numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.has_number())
    }

    /// What the columns are to a flow.
    pub fn shape(&self) -> Shape {
        let context = self.context_width();
        let Self { image, given_image, .. } = *self;
        let shape = Shape { context, image, given_image, ..Shape::default() };
        let (mut shape, mut entry) = (shape, context);
        for column in &self.columns {
            if column.has_number() {
                shape.gates.push(column.outcomes().rest.map(|rest| entry + rest));
            }
            for mark in column.marks() {
                entry += mark.width();
                shape.marks.push(mark);
            }
        }
        shape
    }

    /// Numbers in a row of the flow: marks and numbers.
    pub fn width(&self) -> usize {
        let shape = self.shape();
        shape.marks.len() + shape.gates.len()
    }

    /// Numbers in a context of the flow.
    pub fn context_width(&self) -> usize {
        self.conditions().map(|column| column.context_width()).sum()
    }

    /// Whether rows that are equal in all columns are copies, not values that happen to be the same: two columns of real numbers say so.
    pub(crate) fn is_continuous(&self) -> bool {
        self.columns.iter().filter(|column| column.is_dense()).count() >= 2
    }

    /// Whether a row has a number at the edge of its interval, where floats are too coarse for its logit.
    pub(crate) fn is_at_edge(&self, row: &[f64]) -> bool {
        self.columns.iter().zip(row).any(|(column, x)| column.kind.is_at_edge(*x))
    }

    /// Checks that every name is non-empty and used once and that bounds are ordered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] naming the first column at fault.
    pub fn validate(&self) -> Result<()> {
        if let Some(column) = self.context.iter().find(|column| column.optional) {
            return Err(Error::config(format!(
                "column {} is context, which is given in every row",
                quoted(&column.name)
            )));
        }
        if let Some(image) = self.image {
            image.validate()?;
            if self.columns != image.columns() {
                return Err(Error::config(format!(
                    "images of {image}: expected a column for each number of an image, as ImageShape::columns has them"
                )));
            }
        }
        self.check_noise()?;
        if let Some(given) = self.given_image {
            given.validate()?;
            let columns = given.given_columns();
            if self.image.is_none() || !self.context.starts_with(&columns) {
                return Err(Error::config(format!(
                    "an image {given} as context: expected images, given a column for each number of it first, as ImageShape::given_columns has them"
                )));
            }
        }
        let mut seen = std::collections::HashSet::new();
        for column in self.columns.iter().chain(&self.context) {
            if column.name.is_empty() {
                return Err(Error::config("every column needs a name; one is empty"));
            }
            if !seen.insert(column.name.as_str()) {
                return Err(Error::config(format!(
                    "column {} is named twice",
                    quoted(&column.name)
                )));
            }
            column.validate().map_err(|e| {
                Error::config(format!("column {}: {}", quoted(&column.name), e.message()))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_refuses_doubled_names() {
        let column = Column::real("a");
        let schema = Schema { columns: vec![column.clone(), column], ..Schema::default() };
        assert!(schema.validate().is_err());
    }
}
