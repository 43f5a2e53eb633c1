#!/usr/bin/env python3
"""Soft actor-critic on the pendulum: `diffeo control train` with a flow policy beside Stable-Baselines3's SAC on Gymnasium's `Pendulum-v1`, the same steps.

    python3 benches/peers/control.py                              # three seeds of 20,000 steps: about half an hour, of which diffeo takes three minutes
    python3 benches/peers/control.py --seeds 1 --steps 3000       # for the speed alone

Both take one step and one update at a time, of 256 transitions, after 1,000 steps at random, at a learning rate of 1e-3. Stable-Baselines3 has its default policy, two hidden layers of 256 units;
`--width 64` gives it diffeo's. Each library may use both cores. Time is that of training; returns are means over 200 episodes of the policy without noise:
Stable-Baselines3's deterministic one, diffeo's action of the highest density among 16 draws. The environments agree step by step (`crates/diffeo-control/tests/gymnasium.rs`); their starts are
drawn from different generators.
"""

import environment

environment.enter()

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from quality import find_binary
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

EPISODES = 200
WARMUP = 1000


def by_diffeo(binary, policy, steps, seed, folder):
    file = Path(folder) / "policy.safetensors"
    train = ["control", "train", "--env", "pendulum", "--policy", policy, "--steps", steps, "--seed", seed]
    trained = run(binary, *train, "--lr", 1e-3, "--warmup", WARMUP, "--out", file, "--force")
    played = run(binary, "control", "run", file, "--episodes", EPISODES, "--best", 16)
    return {"seconds": trained["seconds"], "mean": played["return_mean"], "stderr": played["return_stderr"]}


def run(binary, *arguments):
    command = [binary, *map(str, arguments), "--json", "--quiet"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def by_stable_baselines(width, steps, seed):
    layers = {"net_arch": [width, width]}
    model = SAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, learning_starts=WARMUP, seed=seed, policy_kwargs=layers)
    start = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - start
    world = Monitor(gymnasium.make("Pendulum-v1"))
    world.reset(seed=1000 + seed)
    returns, _ = evaluate_policy(model, world, EPISODES, deterministic=True, return_episode_rewards=True)
    return {"seconds": seconds, "mean": np.mean(returns), "stderr": np.std(returns) / len(returns) ** 0.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="steps in the environment (20000)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each (3)")
    parser.add_argument("--width", type=int, default=256, help="units of Stable-Baselines3's layers (256, its default)")
    parser.add_argument("--policies", default="nsf-coupling,gaussian", help="policies of diffeo")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (2)")
    parser.add_argument("--binary", default=None, help="the program (built with cargo when not given)")
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    binary = options.binary or find_binary()
    rows = []
    print(f"{'library':<28} {'seed':>4} {'ms a step':>10} {'return':>16}")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = {f"diffeo {p}": by_diffeo(binary, p, options.steps, seed, folder) for p in options.policies.split(",")}
        found[f"stable-baselines3 {options.width}"] = by_stable_baselines(options.width, options.steps, seed)
        for name, row in found.items():
            pace = 1000 * row["seconds"] / options.steps
            print(f"{name:<28} {seed:>4} {pace:>10.2f} {row['mean']:>9.1f} ± {row['stderr']:.1f}", flush=True)
            rows.append({"library": name, "seed": seed, "steps": options.steps, "ms_per_step": pace, **row})
    for name in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == name]
        pace, mean = (np.median([r["ms_per_step"] for r in own]), np.mean([r["mean"] for r in own]))
        print(f"{name:<28} {pace:.2f} ms a step (median), mean return {mean:.1f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, default=float))


if __name__ == "__main__":
    main()
