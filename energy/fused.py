"""The meter on a GPU: one kernel an array, one a law that is weighed at every point; the host waits for nothing.

What laws sum over other nodes first (`Contracted`, `Loaded`) is one matrix product more. Joules stay on the device
until they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells.power import Law
from ..emulator import kernels
from ..emulator.backend import Backend
from ..emulator.observers import Element
from ..emulator.plan import Plan
from ..emulator.radau import quadrature
from .integrals import Integrals, Tally
from .meter_kernels import integrate_source, weigh_source

Array = Any
AXES = 4  # that a kernel tells a node's indices along


class FusedLaw:
    """A law as the kernel wants it: with its numbers on the device."""

    def __init__(self, law: Law, backend: Backend) -> None:
        self.backend, self.law, self.costs = backend, backend.place(law), law.costs
        numbers = (self.costs.heat, self.costs.supply, self.costs.own)
        self._numbers: list[Any] = []
        for value in numbers:
            placed = backend.array(value).reshape(-1)
            self._numbers += [placed, np.int32(placed.size > 1)]
        self._kernels: dict[int, Any] = {}

    def weigh(self, flat: Mapping[str, Array], element: Element, joules: Array) -> None:
        """Add ∫Σ heat·watts and ∫Σ supply·amperes, joules (2, batch); flat: signals (T·batch, *shape)."""
        y, c = self.law.pair(flat)
        real, samples = y.dtype.type, joules.shape[1]
        sizes, of_y, of_c = folded(y, c)
        nodes = math.prod(sizes)
        arguments = (
            np.int64(nodes), np.int64(samples), np.int32(element.count), np.float64(element.length / element.count),
            self.backend.kept(quadrature, element.points), *map(np.int64, sizes[1:]), y, *map(np.int64, of_y), c,
            *map(np.int64, of_c), *self._numbers, real(self.costs.least), joules,
        )  # fmt: skip
        self.kernel(element.points)((*kernels.blocks(nodes), samples), (kernels.THREADS,), arguments)

    def kernel(self, points: int) -> Any:
        """The kernel for elements of so many points."""
        if points not in self._kernels:
            source = weigh_source(self.backend.dtype, points, self.costs.cuda)
            self._kernels[points] = self.backend.kernel(source, "weigh")
        return self._kernels[points]


class FusedTally(Tally):
    """As `Tally`; joules (laws, 2, batch): heat and supply."""

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        self.joules = self.backend.xp.zeros((len(self.rest), 2, batch))
        self._fused = {
            name: (FusedLaw(law, self.backend), row)
            for (name, law), row in zip(self.rest.items(), self.joules, strict=True)
        }
        self._kernels: dict[int, Any] = {}

    def ready(self) -> None:
        """All that launches need, on the device: nothing is compiled or copied while a run is recorded."""
        for points in self.plan.solvers:
            self.backend.kept(quadrature, points)
            self._kernel(points).compile()
            for law, _ in self._fused.values():
                law.kernel(points).compile()

    def element(self, element: Element) -> None:
        flat = element.flat
        for name, own in self._own[element.group.stages[0].name]:
            self._integrate(self.of[name], element.values[name], element)
            for part in own:
                law, joules = self._fused[part]
                law.weigh(flat, element, joules)

    def _integrate(self, of: Integrals, x: Array, element: Element) -> None:
        p, size = element.points, of.last.size
        arguments = (
            np.int64(size), np.int32(element.count), x.dtype.type(element.length / element.count),
            self.backend.kept(quadrature, p), self.backend.xp.ascontiguousarray(x), of.square, of.magnitude, of.travel,
            of.last,
        )  # fmt: skip
        self._kernel(p)(kernels.blocks(size), (kernels.THREADS,), arguments)

    def _kernel(self, points: int) -> Any:
        if points not in self._kernels:
            self._kernels[points] = self.backend.kernel(integrate_source(self.backend.dtype, points), "integrate")
        return self._kernels[points]

    def _joules(self) -> dict[str, Array]:
        found = {}
        for (name, law), (heat, supply) in zip(self.rest.items(), self.backend.host(self.joules), strict=True):
            found[name] = np.stack([heat, law.costs.share * heat, supply])
        return found


def folded(y: Array, c: Array) -> tuple[list[int], list[int], list[int]]:
    """How a kernel finds a node in y (K, …) and c, which broadcasts to it: (AXES lengths, steps of y, steps of c), the
    steps in numbers, of K and of the axes; neighbours that can be counted through are one axis."""
    c = c.reshape(len(c), *(1,) * (y.ndim - c.ndim), *c.shape[1:])
    (y_point, *of_y), (c_point, *of_c) = ([step // x.itemsize for step in x.strides] for x in (y, c))
    axes: list[tuple[int, int, int]] = []
    for n, m, step, other in zip(y.shape[1:], c.shape[1:], of_y, of_c, strict=True):
        other = 0 if m == 1 else other
        if axes and axes[-1][1:] == (n * step, n * other):
            axes[-1] = (axes[-1][0] * n, step, other)
        elif n > 1:
            axes.append((n, step, other))
    if len(axes) > AXES:
        raise ValueError(f"nodes of shape {y.shape[1:]} need {len(axes)} axes; {AXES} at most")
    axes = [(1, 0, 0)] * (AXES - len(axes)) + axes
    sizes, of_y, of_c = ([axis[k] for axis in axes] for k in range(3))
    return sizes, [y_point, *of_y], [c_point, *of_c]


def tally(plan: Plan, batch: int) -> Tally:
    """The tally of a plan's device."""
    return FusedTally(plan, batch) if plan.backend.fused else Tally(plan, batch)
