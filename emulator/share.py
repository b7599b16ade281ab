"""A machine over several devices: each has some groups in a row, and a thread of its own.

Groups are in feed-forward order, so a device needs only what devices before it have found. They are dealt so that the
dearest share is as cheap as can be; a group costs its multiplications a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

from ..circuits.circuit import Circuit
from .backend import Backend
from .plan import Group, Plan, driven, groups_of, make_plan

GROWTH = 0.5  # of windows: in a long one, later devices wait for earlier ones
FIRST = 0.25  # share of a window's length with which windows begin: in the first, later devices wait for earlier ones


def shared_plan(
    circuit: Circuit, backends: Sequence[Backend], fabrication: dict[str, Any] | None = None, *, stream: bool = False
) -> Plan:
    """The plan of a machine over devices, of which it uses no more than it has groups."""
    needs, grouped, drives = circuit.all_needs(), groups_of(circuit), driven(circuit)
    costs = [sum(term.count(circuit) for name in names for term in drives[name]) for _, names, _ in grouped]
    parts, known = [], set[str]()
    for backend, share in zip(backends, dealt(costs, len(backends)), strict=False):
        known |= {name for _, names, _ in grouped[share] for name in names}
        later = {need for _, names, _ in grouped[share.stop :] for name in names for need in needs[name]}
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"dsmachine {backend.device}")
        sends = frozenset(known & later)
        plan = make_plan(circuit, backend, stream=stream, share=share, sends=sends, thread=thread, first=FIRST)
        parts.append(plan)
    own = replace(backends[0])  # its constants are this thread's
    with own.here():
        groups = tuple(_seen_from(own, group) for part in parts for group in part.groups)
    return Plan(circuit, own, groups, fabrication or {}, split=tuple(parts), first=FIRST, growth=GROWTH)


def dealt(costs: Sequence[float], count: int) -> list[slice]:
    """At most `count` shares of groups in a row, none empty, the dearest as cheap as can be."""
    total = len(costs)

    @cache
    def best(begin: int, shares: int) -> tuple[float, tuple[int, ...]]:
        """(cost of the dearest, ends) of the groups from `begin` on."""
        if shares == 1:
            return float(sum(costs[begin:])), (total,)
        options = []
        for end in range(begin + 1, total - shares + 2):
            rest, ends = best(end, shares - 1)
            options.append((max(float(sum(costs[begin:end])), rest), (end, *ends)))
        return min(options)

    ends = best(0, min(count, total))[1]
    return [slice(begin, end) for begin, end in zip((0, *ends), ends, strict=False)]


def _seen_from(backend: Backend, group: Group) -> Group:
    """A group whose arrays are on a device of one's own, but for its cells'."""
    stages = []
    for stage in group.stages:
        placed = backend.place(replace(stage, conveyed=(), direct=()))
        stages.append(replace(placed, conveyed=stage.conveyed, direct=stage.direct))
    return replace(group, stages=tuple(stages))
