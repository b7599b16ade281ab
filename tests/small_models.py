"""A model small enough to anneal within a test: one layer, width 8, random weights, an alphabet of twelve letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gpt2_folders import SHAPES, characters, write_folder

from dsmachine.circuits.config import Config

CONFIG = SHAPES[0]
DEEP = SHAPES[2]  # four layers
PROMPT = "abcd"


def write_small(folder: Path, *, calibration: str | None = None, config: Config = CONFIG) -> Path:
    """The folder of a model with a calibration text of its own letters."""
    write_folder(folder, config)
    letters = np.random.default_rng(0).choice(list(characters(config.vocabulary)), 400)
    (folder / "calibration.txt").write_text("".join(letters) if calibration is None else calibration)
    return folder
