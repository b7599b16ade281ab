"""Chips that are taught a few tokens: their circuits, a batch's inputs and targets, a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.reference import calibrate_ranges
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.learning import Learner
from dsmachine.training import Trained

WIDE = load_technology("cmos45", overrides={"supply.swing": 4.0, "coupling.g_max": 1e-3})


def written(folder: Path, name: str, text: str) -> str:
    """The path of a new file with a text."""
    (folder / name).write_text(text)
    return str(folder / name)


def trained(model: str, data: str, **options: Any) -> Trained:
    """A few quick steps, as options say."""
    return ds.train(model, data, **({"optimizer": "adamw", "lr": 0.03, "batch": 4, "energy": False} | options))


def mapped(model: Any, tokens: Any) -> ds.Circuit:
    """Its circuit, with room for three times what the tokens take, as weights are going to move."""
    text, positions = (
        "".join(model.decode([int(t) for t in row]) for row in np.atleast_2d(tokens)),
        np.shape(tokens)[-1],
    )
    ranges = Ranges({name: 3 * value for name, value in calibrate_ranges(model, text, positions).items()})
    return ds.map_model(model, positions, technology=WIDE, ranges=ranges)


def lesson(model: Any, tokens: Any) -> tuple[Any, Any]:
    """(inputs, targets) of the mean over a batch."""
    targets = ds.next_token_targets(tokens, model.config.vocabulary)
    return {"embed": model.embed(tokens)}, {name: v / len(np.atleast_2d(tokens)) for name, v in targets.items()}


def step(machine: Learner, inputs: Any, targets: Any) -> float:
    found = machine.gradients(inputs, targets)
    machine.update(found.terms)
    return float(found.loss.sum())
