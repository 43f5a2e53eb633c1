//! Four goals that are as good as each other: which of them a flow policy and a Gaussian one reach, over several seeds, and the ways they take as pictures.
//!
//! `cargo run --release --example goals -- FOLDER [TEMPERATURE [SEEDS [POLICY ...]]]`: by default the recipe's temperature, 5 seeds, and the policies nsf-coupling and
//! gaussian; about a minute a training.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use diffeo_control::{
    Algorithm, Conduct, Environment, GoalTally, MultiGoal, Played, PolicyKind, Recipe, Shape, Task,
    Temperature, Tone, play,
};
use diffeo_plot::{Ink, Stage, StageShape, draw_stages};

/// Episodes of each policy.
const EPISODES: usize = 1000;
/// Ways that are drawn.
const SHOWN: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(given.first().ok_or("expected a folder for the pictures")?);
    let temperature = given.get(1).map(|text| text.parse::<f64>()).transpose()?;
    let seeds: u64 = given.get(2).map_or(Ok(5), |text| text.parse())?;
    let named = given.get(3..).filter(|named| !named.is_empty());
    let policies =
        named.map_or(vec!["nsf-coupling".to_owned(), "gaussian".to_owned()], <[_]>::to_vec);
    println!("policy        seed  goals reached             entropy  success   return  seconds");
    for name in policies {
        let (kind, mut stages) = (name.parse::<PolicyKind>()?, Vec::new());
        for seed in 0..seeds {
            let start = Instant::now();
            let played = episodes(kind, temperature, seed)?;
            let GoalTally { counts, entropy, success } = MultiGoal::tally(&played);
            let mean = played.iter().map(|p| p.ended.earned).sum::<f64>() / EPISODES as f64;
            println!(
                "{name:<13} {seed:4}  {:<24}  {entropy:4.2} bit  {:6.1}%  {mean:7.1}  {:7.1}",
                format!("{counts:?}"),
                100.0 * success,
                start.elapsed().as_secs_f64()
            );
            stages.push(ways(&played, format!("seed {seed}: {entropy:.2} bit")));
        }
        let path = folder.join(format!("goals_{name}.png"));
        draw_stages(&stages[..stages.len().min(4)], &name, 720.0)?.save(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Episodes of a policy that was learned for this.
fn episodes(kind: PolicyKind, temperature: Option<f64>, seed: u64) -> diffeo::Result<Vec<Played>> {
    let task = Task::MultiGoal;
    let mut recipe = Recipe::new(task, kind, Algorithm::Sac);
    recipe.trainer.agent.seed = seed;
    if let Some(temperature) = temperature {
        recipe.trainer.agent.temperature = Temperature::Fixed(temperature);
    }
    let mut trainer = recipe.begin(task, kind, 1)?;
    while trainer.steps() < recipe.steps {
        trainer.advance()?;
    }
    let policy = trainer.policy()?;
    let make = || Box::new(MultiGoal::from_middle()) as Box<dyn Environment>;
    play(policy.flow(), &make, (0, EPISODES), Conduct::Drawn, (1, true))
}

/// The ways of some episodes, and the goals.
fn ways(played: &[Played], caption: String) -> Stage {
    let goals = MultiGoal::GOALS.iter();
    let mut shapes: Vec<StageShape> =
        goals.map(|&centre| StageShape::Disc { centre, radius: 1.0, ink: Ink::Goal }).collect();
    let lasts = played.iter().take(SHOWN).filter_map(|p| p.sketches.last());
    for shape in lasts.flat_map(|sketch| &sketch.shapes) {
        if let Shape::Line { points, tone: Tone::Force, .. } = shape {
            shapes.push(StageShape::Line { points: points.clone(), width: 0.04, ink: Ink::Force });
        }
    }
    Stage { across: [-7.0, 7.0], up: [-7.0, 7.0], shapes, caption }
}
