"""Product unit in transistors: a quad whose gates a node drives (the paper's fig. 3a, balanced).

    I = o(V_b + δ/2, v_b) − o(V_b − δ/2, v_b),       δ = s v_a

with o the pair's odd current. In the square law I = β s v_a v_b whatever V_b. The level shifter's gain is s = K/mS, S
the slope by which characterised conductances differ with δ, one for all units of a term; fingers m are such that δ
stays within `REACH`. Both gates are driven by ideal level shifters about the quad's bias.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...errors import Error
from ..spice import Array, elements
from .coupling import unit
from .rails import INPUTS

if TYPE_CHECKING:
    from ...devices.card import DeviceCard
    from ..product import Product
    from .sheet import DeviceSheet

REACH = 0.4  # V, largest difference of the two gates at full scale, quad_bias ± 0.2 V


def products(sheet: DeviceSheet, term: Product, offset: Array = 0.0) -> list[str]:
    """Quads of all pairs of nodes, their control ports about the quad's bias. offset [V] of each control, as thresholds
    of both pairs that are half of it off: of a chip's."""
    keep, index, k, (a, b) = term._pairs(sheet)
    if not keep.any():
        return []
    half = np.broadcast_to(offset, keep.shape)[keep] / 2
    index, k, a, b = index[keep], k[keep], a[keep], b[keep]
    m, per_volt = gain(
        sheet.transistors.pair_card, sheet.transistors.quad_bias, term.strongest(sheet.circuit), term.name
    )
    lines, gates = _gates(sheet, a, k / (m * per_volt))
    quad = unit(sheet, sheet.transistors.pair_card, "quad", erring=bool(half.any()))
    into = sheet.names[term.target].reshape(-1)[index]
    every = np.ones(k.shape, bool)
    ends = (*sheet.sides(b), into + INPUTS[0], into + INPUTS[1], *gates)
    if not half.any():
        return lines + elements(sheet.prefix("X"), f"%s %s %s %s %s %s {quad} m={m}", every, *ends)
    words = " ".join(f"d{n}=%.9g" for n in range(1, 5))
    pattern = f"%s %s %s %s %s %s {quad} m={m} {words}"
    return lines + elements(sheet.prefix("X"), pattern, every, *ends, -half, -half, half, half)


def _gates(sheet: DeviceSheet, nodes: Array, shift: Array) -> tuple[list[str], tuple[Array, Array]]:
    """Gates quad_bias ± shift·v/2 of each unit; units of one node and shift share theirs."""
    keys = np.array([f"{node} {s:.9g}" for node, s in zip(nodes, shift, strict=True)])
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    lines: list[str] = []
    gates = []
    for sign in (1, -1):
        more, found = sheet.level_shifts(
            nodes[first], np.ones(first.shape, bool), sheet.transistors.quad_bias, sign * shift[first] / 2
        )
        lines += more
        gates.append(found[back])
    return lines, (gates[0], gates[1])


def gain(pair: DeviceCard, centre: float, most: float, what: str) -> tuple[int, float]:
    """(fingers m, S [S/V]): conductances of gates `centre` ± δ/2 differ by S δ, in least squares over what the
    strongest unit needs, `most` [S] by m fingers."""
    deltas = np.linspace(0, REACH, 201)
    difference = np.asarray(pair.conductance(centre + deltas / 2)) - np.asarray(pair.conductance(centre - deltas / 2))
    if not np.all(np.diff(difference) > 0):
        raise Error(f"conductance of {what!r}'s device does not rise about {centre:g} V: choose another quad_bias")
    m = max(1, math.ceil(most / float(difference[-1]) * (1 - 1e-9)))
    used = deltas <= float(np.interp(most / m, difference, deltas))
    return m, float(difference[used] @ deltas[used] / (deltas[used] @ deltas[used]))
