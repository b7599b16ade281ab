"""An emulated machine on the chips of a real one: its account with transfers between chips and reprogramming.

    seconds   T = T_reset + T_load + max(T_anneal, S t₁) + … + T_transfer + T_reprogramming,       t₁ = 8 ln 2 C/g
    joules    refresh, retention and controller have a constant power, of the weights that are there: with P passes
              E T/(P T₀), T₀ what it took without; all else as it was; E_transfer, E_reprogramming beside it

S arrays read what other chips send, which they send once, settled: these settle one after another, each in t₁ to 8 bits
at least, where arrays of one chip settle on each other's heels. Nodes are driven no longer than that takes them, so
their joules stay. What learns sends its adjoint nodes back over the same wires, and needs all passes once more.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..circuits.config import Config
from ..circuits.errors import Error
from ..circuits.technology import Technology
from ..circuits.words import counted
from .machine import Machine as Chips
from .placement import NOWHERE, Placement, place_sizes
from .report import STANDING
from .systems import REPROGRAMMING, SPATIAL, TRANSFER, Machine

ANNEALS = ("anneal", "backward")
BITS = 8  # to which what is sent has settled


def placement_of(machine: Machine, chips: Chips, technology: Technology, count: int | None = None) -> Placement:
    """Where an emulated machine goes on chips of a kind, as many as it takes or `count` of them in turns.

    Raises Error for what does not fit on a chip, and for a run whose file does not say its model's sizes.
    """
    if machine.sizes is None:
        raise Error(
            f"{machine.model} cannot be placed: its file lacks the sizes of a parallel machine; anneal it again, "
            "with --tokens parallel"
        )
    return place_sizes(
        machine.model, Config.of_plain(machine.sizes), chips, technology, tokens=machine.tokens, chips=count
    )


def on_chips(machine: Machine, placement: Placement, technology: Technology) -> Machine:
    """The same machine with what a placement adds to it."""
    ways = 2 if "backward" in machine.phases else 1
    again, node = placement.reprogramming["prompt"], technology.node
    settling = placement.stages * BITS * math.log(2) * node.capacitance / node.conductance
    added = {TRANSFER: placement.transfer}
    if placement.passes > 1:
        added[REPROGRAMMING] = again
    staged = {name: max(seconds, settling) for name, seconds in machine.phases.items() if name in ANNEALS}
    phases = {**machine.phases, **staged, **{name: ways * cost.seconds for name, cost in added.items()}}
    longer = sum(phases.values()) / machine.latency / placement.passes
    joules = {part: each * (longer if part in STANDING else 1) for part, each in machine.joules_by_part.items()}
    joules |= {name: ways * cost.joules for name, cost in added.items()}
    once = placement.programming
    return replace(
        machine,
        phases=phases,
        joules_by_part=joules,
        system=f"{machine.system}, {placement.chips:,} × {placement.machine}",
        assumptions=(*(said for said in machine.assumptions if said != SPATIAL), _said(placement, ways)),
        beside={} if placement.passes > 1 else {"programming, once": (once.seconds, once.joules)},
    )


def _said(placement: Placement, ways: int) -> str:
    needed = f" of {placement.needed:,} needed, in {placement.passes:,} passes" if placement.passes > 1 else ""
    both = ", forward and back" if ways == 2 else ""
    return (
        f"on {counted(placement.chips, 'chip')} of {placement.machine}{needed}; {placement.crossing:,} values "
        f"cross{both}, each once, settled, into {placement.stages:,} arrays that settle one after another; weights are "
        f"kept meanwhile, nodes driven while they anneal; not counted of it: {'; '.join(NOWHERE)}"
    )


__all__ = ["on_chips", "placement_of"]
