//! Steps until there is a reason to stop, whatever it is that is trained.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checkpoint::CHECKPOINT_EVERY;
use super::deadline::Deadline;
use super::events::StopReason;
use crate::error::{Error, ErrorKind, Result};

/// What is trained step by step, and keeps the best of its validations.
pub trait Stepwise {
    /// What a step tells.
    type Step;

    /// Steps so far.
    fn steps(&self) -> u64;

    /// Whether all steps are taken.
    fn is_done(&self) -> bool;

    /// Takes the next step, or the next few.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] where losses were not finite again and again; others as the training has them.
    fn advance(&mut self) -> Result<Self::Step>;

    /// Whether a validation is kept that can be gone back to.
    fn has_best(&self) -> bool;

    /// Lets learning rates fall by a step, if that comes before the last.
    fn settle_by(&mut self, step: u64);

    /// Writes all that is needed to go on.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; what is on disk is then as it was.
    fn save(&self, path: &Path) -> Result<()>;
}

/// What comes next in a training.
#[derive(Debug)]
pub enum Turn<S> {
    /// A step was taken.
    Step(S),
    /// It is over, and why; if it diverged, with the error that says how, while the best validation is kept.
    Ended(StopReason, Option<Error>),
}

/// The clock of a training: ends it when its time is over, lets rates fall by then, and keeps a checkpoint.
#[derive(Debug)]
pub struct Course {
    deadline: Deadline,
    checkpoint: Option<PathBuf>,
    saved: Instant,
}

impl Course {
    /// From now on, for so long, with a checkpoint of this name every [`CHECKPOINT_EVERY`].
    pub fn new(max_time: Option<Duration>, checkpoint: Option<&Path>) -> Self {
        Self {
            deadline: Deadline::new(max_time),
            checkpoint: checkpoint.map(Path::to_owned),
            saved: Instant::now(),
        }
    }

    /// The next step, if there is one.
    ///
    /// # Errors
    /// Those of [`Stepwise::advance`], but for a divergence with a validation to go back to; those of [`Stepwise::save`], after which the checkpoint before is as it was.
    pub fn turn<S: Stepwise>(&mut self, training: &mut S) -> Result<Turn<S::Step>> {
        if training.is_done() {
            return Ok(Turn::Ended(StopReason::Completed, None));
        }
        if self.deadline.is_over() {
            return Ok(Turn::Ended(StopReason::MaxTime, None));
        }
        self.deadline.begin(training.steps());
        let step = match training.advance() {
            Err(error) if error.kind() == ErrorKind::Diverged && training.has_best() => {
                return Ok(Turn::Ended(StopReason::Diverged, Some(error)));
            }
            step => step?,
        };
        if let Some(end) = self.deadline.count(training.steps()) {
            training.settle_by(end);
        }
        if let Some(path) = &self.checkpoint
            && self.saved.elapsed() >= CHECKPOINT_EVERY
        {
            training.save(path)?;
            self.saved = Instant::now();
        }
        Ok(Turn::Step(step))
    }

    /// Time gone by.
    pub fn elapsed(&self) -> Duration {
        self.deadline.elapsed()
    }

    /// Seconds that it takes yet from a step to the last.
    pub fn left(&self, step: u64, end: u64) -> f64 {
        self.deadline.left(step, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to ten, by two, and fails at a number.
    struct Counter {
        at: u64,
        fails_at: u64,
        has_best: bool,
        end: u64,
    }

    impl Counter {
        fn new(fails_at: u64) -> Self {
            Self { at: 0, fails_at, has_best: true, end: 10 }
        }
    }

    impl Stepwise for Counter {
        type Step = u64;

        fn steps(&self) -> u64 {
            self.at
        }

        fn is_done(&self) -> bool {
            self.at >= 10
        }

        fn advance(&mut self) -> Result<u64> {
            self.at += 2;
            match self.at == self.fails_at {
                true => Err(Error::new(ErrorKind::Diverged, "not finite")),
                false => Ok(self.at),
            }
        }

        fn has_best(&self) -> bool {
            self.has_best
        }

        fn settle_by(&mut self, step: u64) {
            self.end = step;
        }

        fn save(&self, path: &Path) -> Result<()> {
            std::fs::write(path, self.at.to_string()).map_err(|e| Error::io(path, "write", e))
        }
    }

    /// All steps, and why they end.
    fn run(course: &mut Course, of: &mut Counter) -> Result<(Vec<u64>, StopReason)> {
        let mut steps = Vec::new();
        loop {
            match course.turn(of)? {
                Turn::Step(step) => steps.push(step),
                Turn::Ended(reason, _) => return Ok((steps, reason)),
            }
        }
    }

    #[test]
    fn steps_are_taken_until_there_is_a_reason_to_stop() {
        let free = || Course::new(None, None);
        let all = run(&mut free(), &mut Counter::new(0)).unwrap();
        assert_eq!(all, (vec![2, 4, 6, 8, 10], StopReason::Completed));
        let cut = run(&mut free(), &mut Counter::new(6)).unwrap();
        assert_eq!(cut, (vec![2, 4], StopReason::Diverged));
        let mut bare = Counter { has_best: false, ..Counter::new(6) };
        assert_eq!(run(&mut free(), &mut bare).unwrap_err().kind(), ErrorKind::Diverged);
        let mut none = Course::new(Some(Duration::ZERO), None);
        assert_eq!(run(&mut none, &mut Counter::new(0)).unwrap(), (vec![], StopReason::MaxTime));
    }

    #[test]
    fn rates_fall_by_the_step_that_the_time_is_for() {
        let mut counter = Counter::new(0);
        let mut course = Course::new(Some(Duration::from_secs(3600)), None);
        std::thread::sleep(Duration::from_millis(5));
        // Not before a hundredth of the time.
        course.turn(&mut counter).unwrap();
        assert_eq!(counter.end, 10);
        let mut short = Course::new(Some(Duration::from_secs(20)), None);
        std::thread::sleep(Duration::from_millis(250));
        short.turn(&mut counter).unwrap();
        // Two steps in an eightieth of the time, or in more: at most 160 in all of it.
        assert!((4..=162).contains(&counter.end), "{}", counter.end);
    }

    #[test]
    fn a_checkpoint_is_written_when_it_is_due_and_one_that_cannot_be_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for (name, is_written) in [("there", true), ("missing/folder", false)] {
            let path = folder.path().join(name);
            let (mut counter, mut course) = (Counter::new(0), Course::new(None, Some(&path)));
            course.turn(&mut counter).unwrap();
            assert!(!path.exists(), "not yet");
            course.saved = course.saved.checked_sub(CHECKPOINT_EVERY).unwrap();
            assert_eq!(course.turn(&mut counter).is_ok(), is_written);
            assert_eq!(std::fs::read_to_string(&path).ok(), is_written.then(|| "4".to_owned()));
        }
    }

    #[test]
    fn a_training_says_when_it_goes_on_from_where_it_was() {
        let names = [StopReason::MaxTime, StopReason::Interrupted].map(StopReason::is_break);
        assert_eq!((names, StopReason::Completed.is_break()), ([true; 2], false));
    }
}
