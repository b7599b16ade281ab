"""Factors of a surface: I(V_k, v) = Σ_r φ_r(V_k) ψ_r(v), the fewest that meet a tolerance, with polynomials for ψ.

Currents of each gate are first fitted by polynomials without a constant (no voltage, no current), in least squares over
the voltages; of the fitted surface the singular value decomposition gives the best factors of each rank (Eckart & Young
1936), and those are polynomials again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from ..errors import Error

Array = Any
DEGREES = {"odd": range(1, 16, 2), "even": range(2, 16, 2), "any": range(1, 16)}
"""Powers of v by parity of the surface in v."""


@dataclass(frozen=True)
class Factors:
    """table φ (K, r) [A]; coefficients (r, degree + 1) of ψ in powers of v [1/V^n], lowest first, largest |ψ| 1; error:
    largest |residual| as a share of the largest current."""

    table: Array
    coefficients: Array
    error: float


def factored(
    volts: Array, surface: Array, tolerance: float, parity: str = "any", largest: float | None = None
) -> Factors:
    """Factors of a surface (K, V) [A] over voltages (V,), symmetric about 0.

    tolerance: largest |residual|, as a share of `largest` [A] (that of the surface itself, if not given). Fitting takes
    the lowest degree within half of it.

    >>> v = np.linspace(-1, 1, 41)
    >>> f = factored(v, np.outer([1.0, 2.0, 3.0], v) + np.outer([0.0, 1.0, 4.0], v**3), 1e-9, "odd")
    >>> f.table.shape, f.error < 1e-12
    ((3, 2), True)

    Raises Error where no rank or degree meets the tolerance.
    """
    largest = float(np.abs(surface).max()) if largest is None else largest
    if np.abs(surface).max() <= tolerance * largest:  # nothing there, as the even part of a linear device
        return Factors(np.zeros((len(surface), 0)), np.zeros((0, 2)), float(np.abs(surface).max() / largest))
    basis, fit = _fit(volts, surface, tolerance * largest / 2, parity)
    orthonormal, triangle = np.linalg.qr(_values(basis, volts))
    left, size, right = np.linalg.svd(fit @ triangle.T, full_matrices=False)
    for rank in range(1, len(size) + 1):
        shapes = orthonormal @ right[:rank].T
        error = float(np.abs(surface - (left[:, :rank] * size[:rank]) @ shapes.T).max() / largest)
        if error <= tolerance:
            coefficients = np.linalg.solve(triangle, right[:rank].T).T @ basis
            scale = np.abs(shapes).max(axis=0) * np.where(shapes[-1] < 0, -1.0, 1.0)
            return Factors(left[:, :rank] * size[:rank] * scale, coefficients / scale[:, None], error)
    raise AssertionError("full rank is the fit itself, which is within the tolerance")


def _fit(volts: Array, surface: Array, allowed: float, parity: str) -> tuple[Array, Array]:
    """(basis (n, degree + 1) in powers of v, coefficients (K, n) in it) of the lowest degree that will do."""
    degrees = DEGREES[parity]
    top = degrees[-1]
    basis = np.zeros((len(degrees), top + 1))
    for row, n in enumerate(degrees):
        power = chebyshev.cheb2poly([0.0] * n + [1.0])
        basis[row, 1 : n + 1] = power[1:] / float(volts[-1]) ** np.arange(1, n + 1)  # T_n(v/V) − T_n(0)
    for count in range(1, len(degrees) + 1):
        columns = _values(basis[:count], volts)
        fit = np.linalg.lstsq(columns, surface.T, rcond=None)[0].T
        worst = float(np.abs(surface - fit @ columns.T).max())
        if worst <= allowed:
            return basis[:count, : degrees[count - 1] + 1], fit
    raise Error(
        f"current over ±{float(volts[-1]):.3g} V is {worst:.2g} A off a polynomial of degree {top}, and the tolerance "
        f"allows {allowed:.2g} A: raise the tolerance, or lower supply.swing"
    )


def _values(coefficients: Array, volts: Array) -> Array:
    """Polynomials (n, degree + 1) at voltages, (V, n)."""
    return np.vander(volts, coefficients.shape[1], increasing=True) @ coefficients.T
