"""A circuit with a known answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.observers import Observer, Probe
from dsmachine.emulator.run import Run, transient

Array = Any
TAU = 49e-15 / 32.26e-6  # C/g₀ of the default node [s]
FULL_SCALE = 1 / 3  # of the default node [V]


@dataclass(frozen=True)
class System:
    """`exact(times)`: volts (T, nodes) of each array; times in seconds from 0 to `duration`.

    `stepper`: NRMSE allowed to the stepper at τ/8.
    """

    name: str
    circuit: Circuit
    exact: Callable[[Array], dict[str, Array]]
    duration: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] | str | None = None
    stepper: float = 6e-4
    known: dict[int, dict[str, Array]] = field(default_factory=dict, compare=False)  # by number of samples

    def __str__(self) -> str:
        return self.name

    def sampled(self, samples: int = 801) -> tuple[Array, dict[str, Array]]:
        """(times, exact volts at them)."""
        times = np.linspace(0, self.duration, samples)
        if samples not in self.known:
            self.known[samples] = self.exact(times)
        return times, self.known[samples]

    def errors(self, samples: int = 801, **options: Any) -> tuple[dict[str, float], Run]:
        """(NRMSE of each array, the run): rms over time and nodes of (v − exact) / full scale."""
        times, exact = self.sampled(samples)
        probe = Probe(list(exact), times=times)
        seen: list[Observer] = [probe]
        run = transient(
            self.circuit,
            self.inputs,
            duration=self.duration,
            initial=self.initial,
            observers=seen,
            precision="float64",
            **options,
        )
        return {name: self._nrmse(name, probe.volts(name)[:, 0], v) for name, v in exact.items()}, run

    def _nrmse(self, name: str, volts: Array, exact: Array) -> float:
        full_scale = np.asarray(self.circuit.arrays[name].full_scale)
        off = (volts - exact.reshape(volts.shape)) / full_scale
        return float(np.sqrt((off**2).mean()))


def integrated(
    slope: Callable[[float, Array], Array], start: Array, times: Array, corners: Array, sizes: Mapping[str, int]
) -> dict[str, Array]:
    """The independent reference: scipy's Radau at rtol 1e-10, restarted at each corner of the inputs.

    slope(t/τ, volts) = τ dv/dt of all nodes, arrays one after another as `sizes` says.
    """
    marks = [*sorted({float(c) for c in corners if 0 < c < times[-1]}), float(times[-1])]
    found = np.empty((len(times), len(start)))
    found[0], begin, state = start, float(times[0]), np.asarray(start, float)
    for end in marks:
        inside = np.flatnonzero((times > begin) & (times <= end))
        wanted = np.append(times[inside], end) / TAU
        # ends of a piece belong to it: a jump counts from its instant on
        limit = end / TAU * (1 - 1e-14)
        done = solve_ivp(
            lambda t, v, limit=limit: slope(min(t, limit), v),
            (begin / TAU, end / TAU), state, method="Radau", t_eval=np.unique(wanted), rtol=1e-10, atol=1e-13,
        )  # fmt: skip
        assert done.success, done.message
        found[inside] = done.y.T[: len(inside)]
        begin, state = end, done.y[:, -1]
    edges = np.cumsum([0, *sizes.values()])
    return {name: found[:, a:b] for name, a, b in zip(sizes, edges[:-1], edges[1:], strict=True)}
