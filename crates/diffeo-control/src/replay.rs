//! What was experienced, to learn from again.

use diffeo::burn::tensor::{Tensor, TensorData};
use diffeo::train::Snapshot;
use diffeo::{ChaCha8Rng, Error, Flow, Result, below};
use serde::{Deserialize, Serialize};

use crate::interface::rows;

/// One step in an environment, in the numbers of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The state that an action was taken in.
    pub state: Vec<f32>,
    /// The action, before `tanh`.
    pub u: Vec<f32>,
    /// What it earned.
    pub reward: f32,
    /// The state after it.
    pub next: Vec<f32>,
    /// Whether nothing comes after that state. False where an episode was cut.
    pub terminal: bool,
}

/// The newest transitions, of which batches are drawn at random.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    widths: [usize; 2],
    most: usize,
    values: Vec<f32>,
    next: usize,
}

/// Some transitions as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// States, `[n, s]`.
    pub states: Tensor<2>,
    /// Actions before `tanh`, `[n, d]`.
    pub u: Tensor<2>,
    /// Rewards, `[n, 1]`.
    pub rewards: Tensor<2>,
    /// The states after, `[n, s]`.
    pub next: Tensor<2>,
    /// 1 where something comes after these, 0 where nothing does, `[n, 1]`.
    pub going: Tensor<2>,
}

/// Where the next transition goes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    next: usize,
}

impl Replay {
    /// Room for so many transitions of states and actions of these widths.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for no room, [`diffeo::ErrorKind::Limit`] for more than memory can be asked for.
    pub fn new(most: usize, states: usize, actions: usize) -> Result<Self> {
        const NUMBERS_MAX: usize = 1 << 31;
        let widths = [states, actions];
        let numbers = most.checked_mul(Self::stride_of(widths));
        if most == 0 || numbers.is_none_or(|numbers| numbers > NUMBERS_MAX) {
            return Err(Error::config(format!(
                "expected room for 1 to {} transitions, found {most}",
                NUMBERS_MAX / Self::stride_of(widths)
            )));
        }
        Ok(Self { widths, most, values: vec![], next: 0 })
    }

    fn stride_of([states, actions]: [usize; 2]) -> usize {
        2 * states + actions + 2
    }

    fn stride(&self) -> usize {
        Self::stride_of(self.widths)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.stride()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds one; the oldest makes room.
    ///
    /// # Panics
    /// If widths are not those of the buffer.
    pub fn add(&mut self, transition: &Transition) {
        let Transition { state, u, reward, next, terminal } = transition;
        assert_eq!([state.len(), u.len()], self.widths, "widths of states and actions");
        assert_eq!(next.len(), state.len(), "both states have one width");
        let going = if *terminal { 0.0 } else { 1.0 };
        let numbers = state.iter().chain(u).chain(next).copied().chain([*reward, going]);
        let stride = self.stride();
        if self.len() < self.most {
            self.values.extend(numbers);
            return;
        }
        let at = self.next * stride;
        self.values[at..at + stride].iter_mut().zip(numbers).for_each(|(to, v)| *to = v);
        self.next = (self.next + 1) % self.most;
    }

    /// `n` of them, each drawn from all.
    ///
    /// # Panics
    /// If there are none.
    pub fn draw(&self, n: usize, rng: &mut ChaCha8Rng, flow: &Flow) -> Batch {
        let chosen: Vec<usize> =
            (0..n).map(|_| below(rng, self.len() as u64) as usize * self.stride()).collect();
        let [s, d] = self.widths;
        let part = |first: usize, width: usize| {
            let row = |&at: &usize| self.values[at + first..at + first + width].iter().copied();
            rows(chosen.iter().flat_map(row).collect(), width, flow)
        };
        Batch {
            states: part(0, s),
            u: part(s, d),
            next: part(s + d, s),
            rewards: part(2 * s + d, 1),
            going: part(2 * s + d + 1, 1),
        }
    }

    pub(crate) fn write_into(&self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.set_singles("replay", &[self.len(), self.stride()], &self.values);
        snapshot.set("replay", &At { next: self.next })
    }

    pub(crate) fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        let (stride, numbers) = (self.stride(), snapshot.len("replay"));
        let At { next } = snapshot.get("replay")?;
        if !numbers.is_multiple_of(stride) || numbers / stride > self.most || next >= self.most {
            return Err(Error::model_file(format!(
                "expected at most {} transitions of {stride} numbers, found {numbers} numbers, the next at {next}; start anew",
                self.most
            )));
        }
        self.values = snapshot.singles("replay", numbers)?;
        self.next = next;
        Ok(())
    }
}

/// A number for each row as a column.
pub(crate) fn column(values: Tensor<1>) -> Tensor<2> {
    let n = values.dims()[0];
    values.reshape([n, 1])
}

/// A number as a tensor of one, of a module's precision.
pub(crate) fn number(value: f64, flow: &Flow) -> Tensor<2> {
    let dtype = flow.spec().precision.dtype();
    Tensor::from_data(TensorData::new(vec![value], [1, 1]), (flow.device(), dtype))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::{FlowSpec, Purpose, Streams};

    fn transition(i: usize) -> Transition {
        let at = i as f32;
        Transition {
            state: vec![at, -at],
            u: vec![0.5 * at],
            reward: 10.0 * at,
            next: vec![at + 1.0, 0.0],
            terminal: i % 2 == 1,
        }
    }

    #[test]
    fn the_oldest_make_room_and_parts_of_a_transition_stay_together() -> Result<()> {
        let mut replay = Replay::new(4, 2, 1)?;
        (0..6).for_each(|i| replay.add(&transition(i)));
        assert_eq!((replay.len(), replay.next), (4, 2));
        let flow = FlowSpec::new(1, vec![]).given(2).build(0)?;
        let mut rng = Streams::new(1).rng(Purpose::Shuffle, 0, 0);
        let batch = replay.draw(200, &mut rng, &flow);
        let values = |t: Tensor<2>| t.into_data().try_to_vec::<f32>().unwrap();
        let (states, u, rewards) = (values(batch.states), values(batch.u), values(batch.rewards));
        let (next, going) = (values(batch.next), values(batch.going));
        let mut seen = [0; 6];
        for (row, i) in states.chunks(2).map(|state| state[0] as usize).enumerate() {
            let expected = transition(i);
            seen[i] += 1;
            assert_eq!(states[2 * row..2 * row + 2], expected.state);
            assert_eq!(next[2 * row..2 * row + 2], expected.next);
            assert_eq!([u[row], rewards[row]], [expected.u[0], expected.reward]);
            assert_eq!(going[row] == 0.0, expected.terminal);
        }
        assert!(seen[..2] == [0, 0] && seen[2..].iter().all(|n| (25..80).contains(n)), "{seen:?}");
        Ok(())
    }

    #[test]
    fn it_survives_a_checkpoint_and_refuses_another_size() -> Result<()> {
        let mut replay = Replay::new(4, 2, 1)?;
        (0..5).for_each(|i| replay.add(&transition(i)));
        let mut snapshot = Snapshot::new("test")?;
        replay.write_into(&mut snapshot)?;
        let mut other = Replay::new(4, 2, 1)?;
        other.read_from(&snapshot)?;
        assert_eq!(other, replay);
        let mut smaller = Replay::new(3, 2, 1)?;
        assert!(smaller.read_from(&snapshot).unwrap_err().message().contains("at most 3"));
        assert!(Replay::new(0, 2, 1).is_err() && Replay::new(usize::MAX, 2, 1).is_err());
        Ok(())
    }
}
