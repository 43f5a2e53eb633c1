//! Why a training of sound or of a policy ended.

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Steps,
    MaxTime,
    Interrupted,
    Diverged,
}

impl Ending {
    /// As reports name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::MaxTime => "max_time",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
        }
    }

    /// Whether the training can go on from here.
    pub(super) fn is_break(self) -> bool {
        matches!(self, Self::MaxTime | Self::Interrupted)
    }
}
