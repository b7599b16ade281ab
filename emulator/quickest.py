"""The quickest node of a machine in some state: what steps are counted in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..circuits.cells import Signals
from . import kernels
from .fused import FusedStage, fused_stages
from .kernels import blocks
from .plan import Plan, Stage

Array = Any
RATES = r"""
// Raises *most to the largest λ of an array's nodes, in units of the slowest one's g₀/C. control: what sets each node's
// feedback, of a root its own value
extern "C" __global__ void rates(
    const int size, const int row, const REAL least, const Source control, const Table table, double* most)
{
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x, j = at < (unsigned)size ? at : 0;
    const unsigned sample = j / (unsigned)row, i = j - sample * row;
    const unsigned apart = control.inner == 1 ? j : j / (unsigned)control.inner;
    const Node node(table, i, least);
    const REAL seen = control.at[control.index ? sample * (unsigned)control.row + control.index[i] : apart];
    REAL rate = node.ratio(seen) + node.standing;
#if LAW == 2
    rate += feedback_slope(seen, node.gain, least) * seen;
#endif
    raise(rate * node.pace, true, most);
}
"""


def shortest_time_constant(plan: Plan, x: Signals) -> float:
    """min C/(γ g₀) [s] over all node units at x, for a root C/((γ + γ′x) g₀)."""
    stages = [stage for stage in plan.stages if not stage.node.is_inner]  # their own step is exact whatever its length
    if "still" not in plan.quickest:
        still = [stage for stage in stages if stage.node.feedback is None]
        plan.quickest["still"] = min(_shortest(plan, still, x), default=math.inf)
    moving = [stage for stage in stages if stage.node.feedback is not None]
    found = _shortest_by_kernel if plan.backend.fused else _shortest
    return float(min([plan.quickest["still"], *found(plan, moving, x)]))


def _shortest(plan: Plan, stages: Sequence[Stage], x: Signals) -> list[float]:
    """Of each array."""
    alike, each = [], []
    for stage in stages:
        if stage.node.is_root:
            own, feedback = x[stage.name], stage.node.feedback
            assert feedback is not None
            gamma = feedback.ratio(own) + feedback.slope(own) * own + stage.standing
        else:
            gamma = stage.gamma(x)
        tau = stage.node.time_constants / gamma
        if np.ndim(tau):
            each.append(tau.min().reshape(1))
        else:
            alike.append(float(tau))
    return [*alike, *(float(least[0]) for least in plan.backend.fetched(each))]


def _shortest_by_kernel(plan: Plan, stages: Sequence[Stage], x: Signals) -> list[float]:
    """Of each array, its γ being set by a node."""
    backend, fused = plan.backend, fused_stages(plan)
    most = backend.xp.zeros(len(stages), np.float64)
    for k, stage in enumerate(stages):
        _raise(fused[stage.name], x, most[k : k + 1])
    return [fused[s.name].tau / rate for s, rate in zip(stages, backend.host(most).tolist(), strict=True)]


def _raise(fused: FusedStage, x: Signals, most: Array) -> None:
    """Raise `most` to the largest rate of an array."""
    backend, name = fused.backend, fused.stage.name
    control, (index, inner, row) = fused.control or (name, (0, 1, 0))
    values, size = backend.xp.ascontiguousarray(x[control]), len(x[name]) * fused.nodes
    arguments = (
        np.int32(size), np.int32(fused.nodes), backend.dtype(fused.least),
        kernels.struct([backend.address(values), 0, index, inner, row]), fused.table, most,
    )  # fmt: skip
    backend.kernel(_source(backend.dtype, fused.law, fused.cells), "rates")(blocks(size), (kernels.THREADS,), arguments)


@lru_cache(maxsize=8)
def _source(dtype: Any, law: int, cells: kernels.Cells) -> str:
    """Of `rates`."""
    return kernels.head(dtype, law, cells) + kernels.RAISE + RATES
