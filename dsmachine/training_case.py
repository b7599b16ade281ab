"""What a training must have in common with one that it goes on with: every setting that changes what is learnt.

How many steps, where they are computed and whether joules are weighed may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .circuits.checkpoints import Model
from .circuits.circuit import Circuit
from .circuits.mapping.model import resolved
from .circuits.technology import Technology
from .circuits.technology_parts import UNITS
from .emulator.checkpoint import digest
from .emulator.still_noise import StillNoise
from .training_data import Lessons


def mapped_by(model: Model, positions: int, softmax: str | None, order: int | None, activation: str) -> dict[str, Any]:
    """Options of `map_model` as they were followed."""
    built, terms = resolved(model, positions, softmax, order, activation)
    return {"positions": positions, "softmax": built, "order": terms, "activation": activation}


def shaken_by(noise: StillNoise | None) -> dict[str, Any]:
    """Options of the noise; of none its unit and seed are nothing."""
    if noise is None:
        return {"noise": "off"}
    return {"noise": noise.level, "noise_unit": noise.unit, "noise_seed": noise.seed}


def technology_of(technology: Technology) -> dict[str, Any]:
    """Every number of it, in SI, after the corner that changes many."""
    return {"corner": technology.corner} | {key: technology.get(key) for key in UNITS}


def case_of(
    options: Mapping[str, Any], model: Model, circuit: Circuit, lessons: Lessons, held_out: Lessons | None
) -> dict[str, Any]:
    """As `check_case` takes it. options: those that have a name; the rest by fingerprints."""
    tensors = {name: digest(np.asarray(model.tensors[name])) for name in sorted(model.tensors)}
    return {
        "options": dict(options),
        "model": digest([model.config, tensors]),
        "calibration text": digest(model.calibration_text),
        "model or mapping": digest((circuit.temperature, circuit.arrays, circuit.terms)),
        "data": digest(lessons),
        "validation data": "none" if held_out is None else digest(held_out),
    }
