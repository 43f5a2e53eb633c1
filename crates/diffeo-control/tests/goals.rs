//! Four goals that are as good as each other: a flow keeps all open, and a Gaussian of the same temperature loses some or pays for them.

use std::thread;

use diffeo::Result;
use diffeo_control::{
    Algorithm, Conduct, Environment, GoalTally, MultiGoal, PolicyKind, Recipe, Task, play,
};

/// Goals that 1,000 episodes from the very middle reach, by a policy that the recipe learned, and what these earn.
fn reached(kind: &str, seed: u64) -> Result<(GoalTally, f64)> {
    let (task, kind): (Task, PolicyKind) = (Task::MultiGoal, kind.parse()?);
    let mut recipe = Recipe::new(task, kind, Algorithm::Sac);
    recipe.trainer.agent.seed = seed;
    let mut trainer = recipe.begin(task, kind, 1)?;
    while trainer.steps() < recipe.steps {
        trainer.advance()?;
    }
    let policy = trainer.policy()?;
    let make = || Box::new(MultiGoal::from_middle()) as Box<dyn Environment>;
    let played = play(policy.flow(), &make, (0, 1000), Conduct::Drawn, (1, false))?;
    let mean = played.iter().map(|p| p.ended.earned).sum::<f64>() / played.len() as f64;
    Ok((MultiGoal::tally(&played), mean))
}

/// What a flow and a Gaussian reach, side by side.
fn both(seed: u64) -> Result<[(GoalTally, f64); 2]> {
    thread::scope(|scope| {
        let flow = scope.spawn(|| reached("nsf-coupling", seed));
        let gaussian = reached("gaussian", seed)?;
        let flow = flow.join().expect("no panic")?;
        println!("seed {seed}: flow {flow:?}, Gaussian {gaussian:?}");
        Ok([flow, gaussian])
    })
}

/// At this temperature a Gaussian that is wide enough for the first step to be chance may reach all goals, too; it pays for that with reward. Gives the entropy of its goals.
fn hold(seed: u64) -> Result<f64> {
    let [(flow, earned), (gaussian, gaussian_earned)] = both(seed)?;
    assert!(flow.entropy >= 1.9 && flow.success >= 0.95, "seed {seed}: {flow:?}");
    let fails = gaussian.entropy < 1.9 || gaussian.success < 0.95;
    assert!(
        fails || gaussian_earned + 3.0 < earned,
        "seed {seed}: the Gaussian does as well, {gaussian:?}, {gaussian_earned}; the flow earns {earned}"
    );
    Ok(gaussian.entropy)
}

#[test]
fn a_flow_keeps_all_four_goals_open_and_a_gaussian_pays_for_it() -> Result<()> {
    hold(0).map(drop)
}

/// Over five seeds the Gaussian misses what the flow holds in each. Ten trainings, three to eight minutes: `cargo test --release --workspace --test goals -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes; the test above is its first seed"]
fn the_same_holds_for_five_seeds() -> Result<()> {
    let entropies = (0..5).map(hold).collect::<Result<Vec<f64>>>()?;
    let mean = entropies.iter().sum::<f64>() / entropies.len() as f64;
    assert!(mean < 1.9, "the goals of the Gaussian have {mean} bits: {entropies:?}");
    Ok(())
}
