"""Volts of an adjoint circuit (DESIGN §3 and §8).

A crossbar that is read both ways has one conductance, G_ij = g w_ij U_i/U_j, which makes w_ij a_i of the adjoint volts
of node i for node j only if the adjoint's own volts per unit are

    U*_i = c_A / U_i        c_A: one number an array A; k = c_S/c_T is the ratio of the mirror behind a crossbar

from array T back to S. That is also what suits them: a_i x_i is what a node's share of the loss is, so where the
forward node is large (the first position of a language model) its adjoint is small. c_A puts the largest |a|/U of the
array, as some runs saw it, at swing/headroom. Arrays that stand for no forward nodes (slopes, sums) have U = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import checks
from .adjoint import AdjointCircuit
from .calibration import MARGIN, SMALLEST_SHARE, fit_to_devices
from .cells import NodeArray, Transposed
from .errors import Error
from .loads import load_nodes
from .technology import Technology, as_technology

Array = Any


def adjoint_volts(made: AdjointCircuit, seen: Mapping[str, Array], technology: Technology) -> AdjointCircuit:
    """A copy of an adjoint circuit with volts, rails, and capacitors of what its nodes drive.

    seen: values (K, *shape) in logical units of every free array and of the loss's inputs, of runs that set the ranges.
    Couplings of its own (devices="own") are kept within the largest conductance of the technology's device, for which
    nodes give up swing.
    Raises Error where an array of `seen` is missing, and where such a coupling is far beyond the device.
    """
    checks.made("made", made, AdjointCircuit, "give what adjoint returns")
    seen = checks.mapping("values seen", seen, "give arrays by name, those of a run of the adjoint circuit")
    technology = as_technology(technology)
    held, scale, changed = set(made.holds()), {}, []
    for name, node in made.arrays.items():
        if name in held:
            continue
        if name not in seen:
            raise Error(f"no values of {name!r} to set its volts by: pass those of a run of the adjoint circuit")
        node, scale[name] = _fitted(node, made.origin.get(name, 1.0), np.asarray(seen[name], float), technology)
        changed.append(node)
    mirrored = [
        replace(term, mirror=scale[term.target] / scale[term.source.array])
        for term in made.terms.values()
        if isinstance(term, Transposed)
    ]
    fitted = load_nodes(made.with_terms(mirrored, changed), technology)
    fitted, lost = fit_to_devices(fitted, technology)
    assert isinstance(fitted, AdjointCircuit)
    return replace(fitted, notes=fitted.notes | {"lost_bits": lost})


def _fitted(node: NodeArray, origin: Array, values: Array, technology: Technology) -> tuple[NodeArray, float]:
    """The array with its volts, and c_A."""
    swing, headroom = technology.supply.swing, technology.supply.headroom
    each = np.broadcast_to(np.abs(values).max(axis=0) / origin, node.shape)  # volts for c_A = 1 V
    column = each.reshape(-1, node.shape[-1]).max(axis=0)
    column = MARGIN * np.maximum(np.maximum(column, SMALLEST_SHARE * np.median(column)), 1e-30)
    c = swing / headroom / float(column.max())
    rail = None if node.clamped else swing
    return replace(node, unit=c / np.asarray(origin), full_scale=c * column, rail=rail), c
