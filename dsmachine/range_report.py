"""Calibration report: does a model fit its volts on text that did not set them?

Ranges come from windows spread evenly over the calibration text; the report settles other windows of it, half-way
between those, and says how much of every range, rail and device they use (`range_use.py`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .circuits import checks
from .circuits.calibration import MARGIN
from .circuits.checkpoints import Model, as_model
from .circuits.circuit import Circuit
from .circuits.errors import Error
from .circuits.mapping.model import calibration_windows, map_model
from .circuits.technology import Technology, as_technology
from .circuits.tokens import window_starts
from .circuits.words import counted
from .describe import kind_of, score_line, score_range
from .range_use import Device, Use, range_use, strongest_devices, together

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
log = logging.getLogger(__name__)
WINDOWS = 8
MOST_WINDOWS = 1000  # they settle side by side, so memory grows with them


@dataclass(frozen=True, repr=False)
class CalibrationReport:
    """What `calibration_report` found. Printing it says the worst of everything.

    arrays: range use of each array, in feed-forward order; devices: the strongest of each term.
    windows: how many of `positions` tokens were settled; unseen: whether all begin where calibration's do not.
    headroom: swing / full scale of the technology; margin: full scale / largest value that calibration saw.
    score: nats on the calibration text against the reach of the softmax cell (None: no such array).
    """

    model: str
    positions: int
    windows: int
    unseen: bool
    technology: str
    headroom: float
    arrays: list[Use]
    devices: list[Device]
    score: dict[str, Any] | None
    margin: float = MARGIN
    wall_s: dict[str, float] = field(default_factory=dict)

    def by_kind(self) -> list[Use]:
        """Arrays of one kind together: those whose names differ by the layer alone."""
        return self._grouped(lambda u: kind_of(u.name, u.layer))

    def by_layer(self) -> list[Use]:
        """Arrays of one layer together."""
        return self._grouped(lambda u: u.layer)

    def _grouped(self, key: Callable[[Use], str]) -> list[Use]:
        names = dict.fromkeys(key(u) for u in self.arrays)
        return [together(name, (u for u in self.arrays if key(u) == name)) for name in names]

    @property
    def all(self) -> Use:
        """All arrays together."""
        return together("all", self.arrays)

    def strongest(self, kind: str) -> Device | None:
        """The strongest "coupling" or "product", as a multiple of its node's g."""
        return max((d for d in self.devices if d.kind == kind), key=lambda d: d.of_node, default=None)

    def most_lost(self) -> Use:
        """The array that gives up most bits of its swing."""
        return max(self.arrays, key=lambda u: u.lost_bits)

    def to_json(self) -> dict[str, Any]:
        """Everything, as the command line prints it with --json."""
        said = {name: getattr(self, name) for name in ("model", "positions", "windows", "unseen", "technology")}
        return said | {
            "headroom": self.headroom,
            "margin": self.margin,
            "score_nats": self.score,
            "all": asdict(self.all),
            "strongest": {k: None if (d := self.strongest(k)) is None else asdict(d) for k in ("coupling", "product")},
            "by_kind": [asdict(u) for u in self.by_kind()],
            "by_layer": [asdict(u) for u in self.by_layer()],
            "arrays": [asdict(u) for u in self.arrays],
            "devices": [asdict(d) for d in self.devices],
            "wall_s": self.wall_s,
        }

    def lines(self) -> dict[str, str]:
        """The worst of everything in words, by what it is about."""
        total, lost = self.all, self.most_lost()
        seen = "that calibration did not see" if self.unseen else "some of which calibration saw: the text is short"
        rows = {
            "windows": f"{self.windows} of {counted(self.positions, 'token')} {seen}",
            "range use": f"median {total.median:.0%}, worst {total.worst:.0%} of full scale ({total.worst_array}); "
            f"{total.headroom_used:.0%} of the headroom used",
            "lost bits": f"{lost.lost_bits:.1f} at most ({lost.name})" if lost.lost_bits else "none",
            "saturated": f"{total.saturated:,} of {counted(total.nodes, 'node')} at rest"
            + ("" if total.on_the_way is None else f", {total.on_the_way:,} on the way there"),
        }
        if total.quiet is not None and total.noise_rms is not None:
            rows["noise"] = f"{total.noise_rms:.2%} of full scale rms; {total.quiet:.1%} of nodes are below 10 σ"
        if self.score is not None:
            rows["scores"] = score_line(self.score)
        for kind in ("coupling", "product"):
            device = self.strongest(kind)
            if device is not None:
                rows[f"{kind}s"] = (
                    f"up to {device.of_node:.3g} g, {device.of_largest:.3g} of coupling.g_max ({device.term})"
                )
        return rows

    def plot(self) -> Figure:
        """Range use by kind of array; see `results_plots.plot_calibration`."""
        from .results_plots import plot_calibration

        return plot_calibration(self)

    def __repr__(self) -> str:
        head = f"{type(self).__name__} of {self.model!r}, {counted(self.positions, 'position')} on {self.technology}"
        return "\n".join([head, *(f"  {name:<10} {text}" for name, text in self.lines().items())])


def calibration_report(
    model: Model | str | os.PathLike[str],
    positions: int,
    *,
    windows: int = WINDOWS,
    technology: Technology | str = "cmos45",
    noise: bool = True,
    transient: bool = True,
    stage: Callable[[str], None] = lambda name: None,
    **mapping: Any,
) -> CalibrationReport:
    """Map `model` with its calibrated ranges, settle other windows of its calibration text, report how they fit.

    windows: how many, side by side. noise: thermal σ of every node around the first window's operating point.
    transient: relax on the first window from zero and count the nodes that saturate on the way.
    mapping: options of `map_model`. stage: told the name of each stage as it begins.
    Raises Error as `map_model` does, and for windows out of range.
    """
    checks.whole("windows", windows, 1, MOST_WINDOWS)
    if mapping.get("tokens", "parallel") != "parallel":
        raise Error(
            f"tokens {mapping['tokens']!r} has no report: use 'parallel', whose ranges the serial machine shares"
        )
    tech = as_technology(technology)
    loaded = as_model(model)
    begun = time.perf_counter()
    stage("calibrate and map")
    circuit = map_model(loaded, positions, technology=tech, **mapping)
    mapped = time.perf_counter()
    stage("settle windows of text")
    rows, unseen = other_windows(loaded, positions, windows)
    found = report_on(circuit, {"embed": loaded.embed(rows)}, tech, noise=noise, transient=transient, unseen=unseen)
    found.wall_s.update(map=mapped - begun, settle=time.perf_counter() - mapped)
    log.info("calibration report of %s: mapped in %.3g s, settled in %.3g s", found.model, *found.wall_s.values())
    return found


def report_on(
    circuit: Circuit,
    inputs: dict[str, Array],
    technology: Technology,
    *,
    noise: bool = True,
    transient: bool = True,
    unseen: bool = True,
) -> CalibrationReport:
    """The report of any feed-forward circuit; inputs: windows side by side, (windows, *shape), logical units."""
    values = next(iter(inputs.values()))
    return CalibrationReport(
        model=circuit.name,
        positions=circuit.notes.get("positions", np.shape(values)[1]),
        windows=len(values),
        unseen=unseen,
        technology=technology.name,
        headroom=technology.supply.headroom,
        arrays=range_use(circuit, inputs, with_noise=noise, with_transient=transient),
        devices=strongest_devices(circuit, technology),
        score=score_range(circuit),
    )


def other_windows(model: Model, positions: int, windows: int) -> tuple[Array, bool]:
    """(windows, P) tokens spread over the calibration text, each half-way between two of the windows that set the
    ranges; and whether there is room between them."""
    ids = np.asarray(model.tokenize(model.calibration_text, "calibration text"))
    ids = np.resize(ids, max(len(ids), positions + 1))
    count = min(calibration_windows(len(ids), positions), len(ids) - positions + 1)
    taken = window_starts(len(ids), positions, count)
    middles = (taken[1:] + taken[:-1]) // 2
    starts = middles[np.linspace(0, len(middles) - 1, windows).astype(int)]
    return ids[starts[:, None] + np.arange(positions)], not np.isin(starts, taken).any()
