"""How well a circuit's voltages fit what it computes: ranges, rails, noise and devices, array by array.

    range use       max over windows |v| / full scale                 each node at its operating point
    headroom used   (|v| − full scale) / (0.9 V_rail − full scale)    how near to where the rail bends; 0 within scale
    quiet           rms over windows of v < 10 σ                      σ: the node's own thermal noise, all lags included
    device          G / g of the driven node, G / coupling.g_max      couplings |G_ij|; products |K v_a| at full scale

Only the circuit is asked: models are mapped, and windows of text chosen, in `range_report.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .circuits.cells import NodeArray
from .circuits.cells.node import KNEE
from .circuits.circuit import Circuit
from .circuits.technology import Technology
from .emulator.noise import noise
from .emulator.operating_point import solve_operating_point
from .emulator.plan import Plan, Stage
from .emulator.prepare import planned
from .emulator.rails import RailWatch
from .emulator.run import transient

Array = Any
QUIET = 10.0  # a node whose rms is below so many σ says less than its noise allows it to
TOLERANCE = 1e-3  # of the transient that is watched for rails
SWEEPS = 8  # frequencies, and samples, of the noise analysis: σ of one node to about 10 %


@dataclass(frozen=True)
class Use:
    """Range use of one array, or of several together.

    median, worst: of the range use over nodes (several arrays: median of their medians; worst_array has the worst).
    saturated, on_the_way: nodes beyond the rail's linear part at any operating point; in the transient (None: not run).
    quiet: share of nodes below 10 σ; noise_rms: σ, rms over nodes, share of full scale (None: noise not asked for).
    """

    name: str
    layer: str
    arrays: int
    nodes: int
    median: float
    worst: float
    worst_array: str
    headroom_used: float
    lost_bits: float
    saturated: int
    on_the_way: int | None = None
    quiet: float | None = None
    noise_rms: float | None = None


@dataclass(frozen=True)
class Device:
    """The strongest device of a term [S]: as a multiple of g of the node it drives, and of the technology's g_max."""

    term: str
    kind: str
    siemens: float
    of_node: float
    of_largest: float


def range_use(
    circuit: Circuit, inputs: Mapping[str, Array], *, with_noise: bool = True, with_transient: bool = True
) -> list[Use]:
    """Range use of every free array that has a rail's range (tails of the softmax have none), in order.

    inputs: windows side by side, (windows, *shape). Noise is that around the operating point of the first window, and
    the transient relaxes on it.
    """
    plan = planned(circuit, "float32", "numpy")
    x = solve_operating_point(plan, inputs)
    first = {name: value[:1] for name, value in inputs.items()}
    variance = noise(circuit, first, record=[], frequencies=SWEEPS, samples=SWEEPS).variance if with_noise else {}
    beyond = _driven_beyond(circuit, first) if with_transient else None
    return [
        _use(plan, stage, x, variance.get(stage.name), None if beyond is None else beyond.get(stage.name, 0))
        for stage in plan.stages
        if not stage.node.is_inner
    ]


def _driven_beyond(circuit: Circuit, inputs: Mapping[str, Array]) -> dict[str, int]:
    watch = RailWatch()
    transient(circuit, inputs, tolerance=TOLERANCE, observers=[watch])
    return watch.nodes


def _use(plan: Plan, stage: Stage, x: Mapping[str, Array], variance: Array | None, on_the_way: int | None) -> Use:
    node, host = plan.circuit.arrays[stage.name], plan.backend.host
    here = node.present
    share = np.broadcast_to(host(abs(x[stage.name]) * stage.per_full_scale), (len(x[stage.name]), *node.shape))
    use = share.max(axis=0)[here]
    gamma = None if node.is_root else stage.gamma(x)
    saturated = np.broadcast_to(host(stage.beyond(x, gamma)).any(axis=0), node.shape)
    quiet = rms = None
    if variance is not None:
        own = variance[0][here]
        quiet = float((np.square(share[:, here]).mean(axis=0) < QUIET**2 * own).mean())
        rms = float(np.sqrt(own.mean()))
    return Use(
        name=node.name, layer=node.layer, arrays=1, nodes=node.count,
        median=float(np.median(use)), worst=float(use.max()), worst_array=node.name,
        headroom_used=_headroom_used(node, use), lost_bits=plan.circuit.notes.get("lost_bits", {}).get(node.name, 0.0),
        saturated=int(saturated[here].sum()), on_the_way=on_the_way, quiet=quiet, noise_rms=rms,
    )  # fmt: skip


def _headroom_used(node: NodeArray, use: Array) -> float:
    """Worst node's; 0 of nodes that are meant to rest on their rail, and of ideal ones."""
    if node.rail is None or node.held:
        return 0.0
    room = (1 - KNEE) * node.rail / np.broadcast_to(np.asarray(node.full_scale, float), node.shape)[node.present] - 1
    return float(np.max((use - 1) / np.maximum(room, 1e-12), initial=0.0, where=use > 1))


def together(name: str, members: Iterable[Use]) -> Use:
    """Several arrays as one row."""
    each = list(members)
    nodes = sum(u.nodes for u in each)
    worst = max(each, key=lambda u: u.worst)

    def mean(values: list[float | None]) -> float | None:
        known = [(v, u.nodes) for v, u in zip(values, each, strict=True) if v is not None]
        return sum(v * n for v, n in known) / sum(n for _, n in known) if known else None

    ways = [u.on_the_way for u in each if u.on_the_way is not None]
    square = mean([None if u.noise_rms is None else u.noise_rms**2 for u in each])
    return Use(
        name=name, layer="", arrays=len(each), nodes=nodes,
        median=float(np.median([u.median for u in each])), worst=worst.worst, worst_array=worst.worst_array,
        headroom_used=max(u.headroom_used for u in each), lost_bits=max(u.lost_bits for u in each),
        saturated=sum(u.saturated for u in each), on_the_way=sum(ways) if ways else None,
        quiet=mean([u.quiet for u in each]), noise_rms=None if square is None else square**0.5,
    )  # fmt: skip


def strongest_devices(circuit: Circuit, technology: Technology) -> list[Device]:
    """The strongest device of every term that has any, in order."""
    found = []
    for term in circuit.terms.values():
        siemens = term.strongest(circuit)
        if siemens is not None:
            g = circuit.arrays[term.target].conductance
            found.append(Device(term.name, term.kind, siemens, siemens / g, siemens / technology.coupling.g_max))
    return found
