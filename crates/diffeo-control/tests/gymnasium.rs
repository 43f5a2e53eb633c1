//! Environments step by step beside Gymnasium's, whose numbers stand in `data/gymnasium.json` (random actions, and one way out of the valley).

use diffeo::Result;
use diffeo_control::{Environment, MountainCar, Pendulum, Progress};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// Their observations are rounded to single precision, and so are the actions.
fn agree(mut environment: impl Environment, name: &str) -> Result<usize> {
    let all: Value = serde_json::from_str(include_str!("data/gymnasium.json")).expect("JSON");
    let (mut steps, width) = (0, environment.observation_space().width());
    for episode in all[name].as_array().expect("episodes") {
        environment.set_state(&numbers(&episode["start"]))?;
        for expected in episode["steps"].as_array().expect("steps") {
            let expected = numbers(expected);
            let step = environment.step(&expected[..1])?;
            for (found, expected) in step.observation.iter().zip(&expected[1..=width]) {
                assert!((found - expected).abs() < 2e-6 * (1.0 + expected.abs()), "{name} {steps}");
            }
            let reward = expected[width + 1];
            assert!((step.reward - reward).abs() < 2e-6 * (1.0 + reward.abs()), "{name} {steps}");
            let ended = step.progress == Progress::Terminated;
            assert_eq!(ended, expected[width + 2] == 1.0, "{name} {steps}");
            steps += 1;
        }
    }
    Ok(steps)
}

#[test]
fn pendulum_and_mountain_car_go_as_gymnasiums_do() -> Result<()> {
    assert_eq!(agree(Pendulum::default(), "pendulum")?, 180);
    assert_eq!(agree(MountainCar::default(), "mountain_car")?, 285);
    Ok(())
}
