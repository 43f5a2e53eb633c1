//! Learns a policy for an environment and lets it act: `cargo run --release --example learn`. Less than half a minute.

use diffeo_control::{Algorithm, Conduct, PolicyKind, Recipe, Task, play};

fn main() -> diffeo::Result<()> {
    let (task, kind): (Task, PolicyKind) = (Task::Pendulum, "nsf-coupling".parse()?);
    let recipe = Recipe { steps: 6_000, ..Recipe::new(task, kind, Algorithm::Sac) };
    let mut trainer = recipe.begin(task, kind, 1)?;
    while trainer.steps() < recipe.steps {
        for ended in trainer.advance()?.ended {
            println!("{:5} steps, return {:8.1}", trainer.steps(), ended.earned);
        }
    }
    let policy = trainer.policy()?;
    let make = || task.environment();
    let played = play(policy.flow(), &make, (0, 50), Conduct::Best(16), (1, false))?;
    let mean = played.iter().map(|p| p.ended.earned).sum::<f64>() / played.len() as f64;
    println!("the policy that was kept earns {mean:.1} on average of 50 episodes");
    Ok(())
}
