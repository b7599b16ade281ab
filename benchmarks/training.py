"""How much of what mismatch costs a chip's own training recovers: the bundled model, learning its calibration text.

    python benchmarks/training.py

Of the text's windows of --positions tokens the last fifth is held out. loss [nat], accuracy: of that fifth, before any
step and after --steps of --batch windows each; mean ± standard deviation over --seeds chips (n − 1). The chips of a
seed have the same draws at every mismatch, scaled. nodes on rails: of all in the last batch, and weights
at the end of their range, after the last step. seconds: of a step, median, on a processor.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import save

import dsmachine as ds
from dsmachine.training import Trained

MODEL = "tiny-shakespeare"
SPREADS: list[dict[str, float]] = [
    {}, {"mismatch": 0.05}, {"mismatch": 0.1}, {"vt_mismatch": 0.02}, {"offset": 0.05},
]  # fmt: skip


def halves(folder: Path, positions: int) -> tuple[Path, Path]:
    """Files of what is learnt and of what is held out."""
    model = ds.load_model(MODEL)
    ids = model.tokenize(model.calibration_text)
    cut = len(ids) // positions * 4 // 5 * positions
    for name, part in (("learnt.txt", ids[:cut]), ("held_out.txt", ids[cut:])):
        (folder / name).write_text(model.decode(part))
    return folder / "learnt.txt", folder / "held_out.txt"


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._before = time.perf_counter()

    def __call__(self, found: Trained) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._before)
        self._before = now


def row(spread: dict[str, float], files: tuple[Path, Path], options: Any) -> dict[str, Any]:
    clock, runs = Clock(), []
    for seed in range(1, options.seeds + 1) if spread else [0]:
        weighed = seed <= 1  # a joule is a joule: one chip of each row
        runs.append(
            ds.train(
                MODEL, files[0], validation=files[1], positions=options.positions, steps=options.steps,
                batch=options.batch, optimizer=options.optimizer, lr=options.lr, chip_seed=seed, energy=weighed,
                told=clock, **spread,
            )
        )  # fmt: skip
    found: dict[str, Any] = {"chip": ", ".join(f"{name} {value:g}" for name, value in spread.items()) or "ideal",
                             "chips": len(runs)}  # fmt: skip
    for what in ("loss", "accuracy"):
        values = np.array([run.validation[what] for run in runs])
        for k, when in enumerate(("before", "after")):
            found[f"{what} {when}"] = told(values[:, k])
    found["nodes on rails"] = told(np.array([float(run.saturated) for run in runs]))
    found["weights at rails"] = told(np.array([float(run.at_rails) for run in runs]))
    found["µJ a step"] = 1e6 * runs[0].energy / options.steps if runs[0].energy is not None else "not settled"
    found["seconds a step"] = statistics.median(clock.seconds)
    return found


def told(values: Any) -> str:
    """Mean ± deviation; a single value alone."""
    spread = f" ± {np.std(values, ddof=1):.3g}" if len(values) > 1 else ""
    return f"{np.mean(values):.4g}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=32)
    parser.add_argument("--steps", type=int, default=72)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--name", default="training", help="of the files in results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = halves(Path(folder), options.positions)
        save(options.name, [row(spread, files, options) for spread in SPREADS], options=vars(options))


if __name__ == "__main__":
    main()
