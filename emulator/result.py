"""What a run just made and one read from a file have in common: asked about, plotted and shown in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.named import Named
from ..circuits.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
PARTS = {  # fields by name, and what their values are of
    "outputs": "free array", "by_array": "array with a settling time", "noise_rms": "array whose noise was watched",
    "observed": "observer", "saturated": "array with saturated nodes",
}  # fmt: skip


class Result:
    """outputs: last value of each free array [V], (batch, *shape); settling_time: oracle, of each sample, nan where it
    did not settle; duration: seconds simulated; saturated: nodes beyond their rail's linear part, by array."""

    analysis: str
    outputs: Mapping[str, Array]
    settling_time: Array | None
    duration: float
    saturated: dict[str, int]

    def __post_init__(self) -> None:
        for name in PARTS:
            if isinstance(value := getattr(self, name), dict):
                setattr(self, name, self.named(name, value))

    def named(self, name: str, values: Mapping[str, Any]) -> Named[Any]:
        """Values of one of these fields, which say what they lack."""
        return Named(values, f"{PARTS[name]} in this run of {self._name()!r}")

    def _name(self) -> str:
        """The circuit's."""
        raise NotImplementedError

    def _unit(self, name: str) -> Array:
        """Volts per logical unit of an array's nodes."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """Whether every sample settled."""
        return self.settling_time is not None and not bool(np.isnan(self.settling_time).any())

    def logical(self, name: str) -> Array:
        """An array's last value in logical units (the activation it carries)."""
        return self.outputs[name] / self._unit(name)

    def plot(self, **options: Any) -> Figure:
        """Recorded waveforms, options as `plots.plot_waveforms`; where only errors by layer were recorded, the front,
        options as `plots.plot_front`."""
        from .plotting import plot_waveforms, recorded
        from .settling_plots import has_errors, plot_front

        if not recorded(self, "V") and has_errors(self):
            return plot_front(self, **options)
        return plot_waveforms(self, **options)

    def __repr__(self) -> str:
        said = [repr(self._name()), self.analysis, counted(len(self.outputs), "array"), f"{self.duration * 1e9:.1f} ns"]
        if self.settling_time is not None:
            said.append(f"settled at {self.settling_time.max() * 1e9:.1f} ns" if self.settled else "not settled")
        if clipped := sum(self.saturated.values()):
            said.append(f"{counted(clipped, 'node')} saturated")
        return f"{type(self).__name__}({', '.join(said)})"
