//! Training: what is learned from ends and cuts of episodes, checkpoints, and environments that misbehave.

use diffeo::burn::tensor::{Tensor, TensorData};
use diffeo::{ChaCha8Rng, ErrorKind, FlowSpec, PresetOptions, Purpose, Result, Streams, uniform};
use diffeo_control::{
    Agent, AgentOptions, Algorithm, Axis, Conduct, Environment, Interface, PolicyKind, Progress,
    Replay, Sketch, SoftActorCritic, Space, Step, Task, Temperature, Trainer, TrainerOptions,
    Transition, play,
};

/// A number is seen, and is to be said: the reward is minus the square of what the action is off by.
struct Echo {
    observation: Space,
    action: Space,
    number: f64,
    /// What it gives in place of a reward, if anything.
    instead: Option<f64>,
}

impl Echo {
    fn new(instead: Option<f64>) -> Self {
        let axis = |name| Space::new(vec![Axis::bounded(name, -3.0, 3.0)]).expect("sound");
        Self { observation: axis("number"), action: axis("said"), number: 0.0, instead }
    }
}

impl Environment for Echo {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        None
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        self.number = 4.0 * uniform(rng) - 2.0;
        Ok(vec![self.number])
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        let reward = self.instead.unwrap_or(-(action[0] - self.number).powi(2));
        let observation = vec![self.number];
        Ok(Step { observation, reward, progress: Progress::Terminated })
    }

    fn state(&self) -> Vec<f64> {
        vec![self.number]
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.number = state[0];
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        Sketch { across: [-3.0, 3.0], up: [-1.0, 1.0], shapes: vec![] }
    }
}

fn spec(kind: &str, environment: &dyn Environment) -> Result<FlowSpec> {
    let options = PresetOptions { transforms: 1, hidden: vec![16, 16], ..Default::default() };
    kind.parse::<PolicyKind>()?.spec(&Interface::of(environment), &options)
}

fn quick(algorithm: Algorithm) -> TrainerOptions {
    let mut options = TrainerOptions { algorithm, warmup: 64, batch: 64, ..TrainerOptions::new(1) };
    options.agent.hidden = vec![32, 32];
    (options.agent.policy_rate, options.agent.value_rate) = (3e-3, 3e-3);
    options.validate_every = 0;
    if algorithm == Algorithm::Meow {
        options.agent.temperature = Temperature::Fixed(0.1);
    }
    options
}

#[test]
fn both_algorithms_learn_to_say_what_they_see() -> Result<()> {
    for (algorithm, kind) in
        [(Algorithm::Sac, "gaussian"), (Algorithm::Sac, "nsf"), (Algorithm::Meow, "nsf")]
    {
        let environment = Echo::new(None);
        let policy = spec(kind, &environment)?;
        let make = || Box::new(Echo::new(None)) as Box<dyn Environment>;
        let mut trainer = Trainer::new(Box::new(make), 4, &policy, quick(algorithm))?;
        while trainer.updates() < 500 {
            trainer.advance()?;
        }
        let flow = trainer.agent().policy();
        let mean = |conduct| -> Result<f64> {
            let played = play(flow, &make, (0, 200), conduct, (1, false))?;
            Ok(played.iter().map(|p| p.ended.earned).sum::<f64>() / 200.0)
        };
        // Anything said at random earns -4.3, the mean of the numbers -1.3.
        let (drawn, best) = (mean(Conduct::Drawn)?, mean(Conduct::Best(16))?);
        assert!(drawn > -0.4 && best > -0.3, "{algorithm} {kind}: {drawn} {best}");
    }
    Ok(())
}

/// Values that are learned where each step earns 1 in the one state there is.
fn value_of_ones(terminal: bool) -> Result<f64> {
    let environment = Echo::new(None);
    let flow = spec("gaussian", &environment)?.build(0)?;
    let options = AgentOptions {
        discount: 0.8,
        smoothing: 0.05,
        temperature: Temperature::Fixed(1e-6),
        value_rate: 5e-3,
        ..AgentOptions::new(1)
    };
    let mut agent = SoftActorCritic::new(flow, &options)?;
    let mut replay = Replay::new(100, 1, 1)?;
    let streams = Streams::new(3);
    for i in 0..100 {
        let u = vec![(i as f32 / 50.0 - 1.0) * 2.0];
        replay.add(&Transition { state: vec![0.0], u, reward: 1.0, next: vec![0.0], terminal });
    }
    for update in 0..700 {
        let mut rng = streams.rng(Purpose::Shuffle, update, 0);
        let batch = replay.draw(32, &mut rng, agent.policy());
        assert_eq!(agent.update(&batch, streams, update)?.refused, 0);
    }
    let one =
        |v: f32| Tensor::<2>::from_data(TensorData::new(vec![v], [1, 1]), agent.policy().device());
    let value = agent.value(one(0.0), one(0.1));
    Ok(value.into_data().convert::<f64>().try_to_vec::<f64>().expect("a number")[0])
}

#[test]
fn what_comes_after_a_cut_counts_and_after_an_end_nothing_does() -> Result<()> {
    // 1 / (1 - 0.8) = 5, and 1.
    let (cut, ended) = (value_of_ones(false)?, value_of_ones(true)?);
    assert!((4.3..5.2).contains(&cut) && (ended - 1.0).abs() < 0.1, "{cut} {ended}");
    Ok(())
}

#[test]
fn the_limit_of_time_cuts_and_does_not_end() -> Result<()> {
    let make = || Task::Pendulum.environment();
    let flow = spec("gaussian", &*make())?.build(0)?;
    let played = play(&flow, &make, (0, 3), Conduct::Drawn, (0, true))?;
    for (i, played) in played.iter().enumerate() {
        assert_eq!((played.ended.steps, played.ended.terminated), (200, false));
        assert_eq!([played.actions.len(), played.sketches.len()], [200, 201]);
        assert!((played.ended.earned - played.rewards.iter().sum::<f64>()).abs() < 1e-9);
        // An episode does not depend on those beside it.
        let alone = play(&flow, &make, (i as u64, 1), Conduct::Drawn, (0, true))?;
        assert_eq!(alone[0].rewards, played.rewards);
    }
    Ok(())
}

#[test]
fn a_training_that_goes_on_gives_the_same_bits() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.checkpoint");
    let make = || Task::MultiGoal.environment();
    for (algorithm, kind) in
        [(Algorithm::Sac, "nsf-coupling"), (Algorithm::Sac, "gaussian"), (Algorithm::Meow, "maf")]
    {
        let policy = spec(kind, &*make())?;
        let options =
            TrainerOptions { validate_every: 60, validate_episodes: 2, ..quick(algorithm) };
        let unsettled = || Trainer::new(Box::new(make), 2, &policy, options.clone());
        let start = || {
            let mut trainer = unsettled()?;
            trainer.settle_by(220);
            Result::Ok(trainer)
        };
        let mut whole = start()?;
        let (mut ended, mut saved_at) = (Vec::new(), 0);
        while whole.steps() < 220 {
            ended.extend(whole.advance()?.ended);
            if whole.steps() == 150 {
                whole.save(&path)?;
                saved_at = ended.len();
            }
        }
        let mut second = start()?.resumed(&path)?;
        assert_eq!(second.steps(), 150);
        let mut after = Vec::new();
        while second.steps() < 220 {
            after.extend(second.advance()?.ended);
        }
        assert_eq!(after, ended[saved_at..]);
        let bytes = |trainer: &Trainer| trainer.policy()?.to_bytes();
        assert_eq!(bytes(&second)?, bytes(&whole)?, "{algorithm} {kind}");
        assert_eq!(second.best(), whole.best());
        let weights = |trainer: &Trainer| -> Vec<Vec<f32>> {
            let all = trainer.agent().policy().parameters().into_iter();
            all.map(|(_, value)| value.into_data().try_to_vec().expect("numbers")).collect()
        };
        assert_eq!(weights(&second), weights(&whole));
        // Rates are constant over the first half and fall over the second.
        let (mut constant, mut falling) = (unsettled()?, start()?);
        for (steps, same) in [(110, true), (220, false)] {
            for trainer in [&mut constant, &mut falling] {
                while trainer.steps() < steps {
                    trainer.advance()?;
                }
            }
            assert_eq!(weights(&constant) == weights(&falling), same, "{algorithm} at {steps}");
        }
        assert_eq!(Trainer::seed_of(&path)?, 0);
        let mut other = options.clone();
        other.agent.discount = 0.5;
        let refused = Trainer::new(Box::new(make), 2, &policy, other)?.resumed(&path);
        let refused = refused.err().expect("refused");
        assert_eq!(refused.kind(), ErrorKind::Config);
        assert!(refused.message().contains("another training"), "{refused}");
    }
    Ok(())
}

#[test]
fn what_an_environment_must_not_give_is_said() -> Result<()> {
    let policy = spec("gaussian", &Echo::new(None))?;
    let trainer = |instead: f64| {
        let make = move || Box::new(Echo::new(Some(instead))) as Box<dyn Environment>;
        Trainer::new(Box::new(make), 1, &policy, quick(Algorithm::Sac))
    };
    for (instead, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let error = trainer(instead)?.advance().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Domain);
        assert!(error.message().contains(word) && error.message().contains("step 1"), "{error}");
    }
    // A policy of other widths, and options that cannot be.
    let make = || Task::Reacher.environment();
    let error = Trainer::new(Box::new(make), 1, &policy, quick(Algorithm::Sac)).err();
    assert_eq!(error.expect("refused").kind(), ErrorKind::Shape);
    let with = |change: &dyn Fn(&mut TrainerOptions)| {
        let mut options = quick(Algorithm::Sac);
        change(&mut options);
        let make = || Box::new(Echo::new(None)) as Box<dyn Environment>;
        Trainer::new(Box::new(make), 1, &policy, options).err().expect("refused").to_string()
    };
    assert!(with(&|o| o.agent.discount = 1.0).contains("discount"));
    assert!(with(&|o| o.agent.temperature = Temperature::Fixed(0.0)).contains("temperature"));
    assert!(with(&|o| o.batch = 0).contains("batch"));
    assert!(with(&|o| o.replay = 0).contains("transitions"));
    assert!(with(&|o| o.agent.smoothing = 1.5).contains("smoothing"));
    Ok(())
}
