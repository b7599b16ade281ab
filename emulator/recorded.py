"""Gradients of a chip that learns, recorded once as a CUDA graph and replayed for other inputs of the same shape.

Both machines at rest, the loss and all gradients are some thousand launches, each of which costs the processor more
than the GPU. A replay is one. Weights are read where they stand, so a chip that learns in place is followed.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ..circuits.adjoint import AdjointCircuit
from ..circuits.losses import LOSSES
from .gradients import Gradients, term_gradients, told
from .inputs import checked_inputs
from .operating_point import settle
from .passing import Returning
from .plan import Plan
from .run import rested

Array = Any


def recordable(plan: Plan) -> bool:
    """Whether a machine at rest can be recorded: on one GPU that holds it, nothing on a cycle."""
    return plan.backend.kind == "cupy" and plan.resident and not any(group.cyclic for group in plan.groups)


class Recorded:
    """The captured launches of a machine and of its adjoint, both prepared on one device. Values of inputs are written
    into its own arrays; what it finds stands in its own until the next run."""

    def __init__(self, plan: Plan, behind: Plan, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
        """inputs, targets: such as there will be; kernels have been used before, so that they are compiled."""
        import cupy

        self.plan, self.behind = plan, behind
        self._pool, self._stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()
        with plan.backend.arithmetic(), self._stream, cupy.cuda.using_allocator(self._pool.malloc):
            self._given = {name: cupy.array(value) for name, value in self._checked(inputs, targets).items()}
            self._stream.synchronize()
            self._stream.begin_capture()
            try:
                self._record()
            except BaseException:
                with suppress(Exception):  # the capture is void; what broke it is what matters
                    self._stream.end_capture()
                raise
            self._graph = self._stream.end_capture()
            self._constants = plan.backend.constants() + behind.backend.constants()  # read at every replay
            self._graph.upload(self._stream)

    def _checked(self, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> dict[str, Array]:
        backend = self.plan.backend
        return checked_inputs(self.plan.circuit, backend, inputs) | {n: backend.array(v) for n, v in targets.items()}

    def _record(self) -> None:
        made = self.behind.circuit
        assert isinstance(made, AdjointCircuit)
        wanted = LOSSES[made.loss].inputs
        self._x = {name: value for name, value in self._given.items() if name not in wanted}
        self._ahead = settle(self.plan, self._x)
        self._seen = {name: self._x[name] for name in made.holds()} | {name: self._given[name] for name in wanted}
        self._back = settle(self.behind, self._seen, Returning(self.plan, made, self._x))
        self._loss = LOSSES[made.loss].value(self._x[str(self.plan.circuit.output)], self._seen)
        self._terms = term_gradients(self.plan.circuit, made, self._x, self._seen)

    def run(self, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> Gradients:
        """Gradients of other values of the same shapes, as `gradients` has them of a chip that learns."""
        begun, backend = clock.perf_counter(), self.plan.backend
        with backend.arithmetic():
            for name, value in self._checked(inputs, targets).items():
                self._given[name][...] = value
            backend.finish()
            self._graph.launch(self._stream)
            self._stream.synchronize()
        held, clipped = self._ahead.beyond(), self._back.beyond()
        loss = np.asarray(backend.host(self._loss))
        # one launch, so the same seconds for both
        runs = rested(self.plan, self._x, held, begun), rested(self.behind, self._seen, clipped, begun)
        return told(*runs, loss, self._terms, self._seen, self.behind.backend.host)
