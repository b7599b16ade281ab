"""The one nonlinearity that cells share: a smooth ramp, and the limiter made of it.

A transistor that starts to conduct, or a mirror that runs out of headroom, does so over a knee and not at a
corner.  Both are written with the same twice-differentiable piecewise polynomial, so that outside the knee a
cell is *exactly* linear (a mapped model has no bias at its operating point) and inside it a high-order
integrator still sees a smooth function:

    ramp(z, w) = 0                            z <= -w
               = 2w (u**3 - u**4 / 2)         u = (z + w) / 2w in (0, 1)
               = z                            z >= w

    limit(z, D, w) = sign(z) (|z| - ramp(|z| - D, w))     -> linear below D - w, flat at D above D + w
"""

from typing import Any

import numpy as np

from ..arrays import module_of

Array = Any
CUDA = """
// the laws of smooth.py
__device__ __forceinline__ REAL share_of_knee(REAL u) { return u < 0 ? (REAL)0 : u > 1 ? (REAL)1 : u; }
__device__ __forceinline__ REAL ramp(REAL z, REAL width) {
    const REAL u = share_of_knee((z + width) * ((REAL)0.5 / width));
    return 2 * width * u * u * u * (1 - u / 2) + fmax(z - width, (REAL)0);
}
__device__ __forceinline__ REAL ramp_slope(REAL z, REAL width) {
    const REAL u = share_of_knee((z + width) * ((REAL)0.5 / width));
    return u * u * (3 - 2 * u);
}
__device__ __forceinline__ REAL limit(REAL z, REAL bound, REAL knee) {
    if (!(fabs(z) > (1 - knee) * bound)) return z;
    const REAL ratio = fabs(z) / bound;
    const REAL u = share_of_knee((ratio - (1 - knee)) * (1 / (2 * knee)));
    return copysign((fmin(ratio, 1 + knee) - 2 * knee * u * u * u * (1 - u / 2)) * bound, z);
}
__device__ __forceinline__ REAL limited_slope(REAL share, REAL knee) {
    const REAL d = fmax((1 - share) / (2 * knee), (REAL)0);
    if (d >= (REAL)0.5) return 1;
    if (d == 0) return 0;
    REAL e = cbrt(d);
    for (int k = 0; k < 4; ++k) e = cbrt(d / (1 - e / 2));
    for (int k = 0; k < 2; ++k) e -= (e * e * e * (1 - e / 2) - d) / (e * e * (3 - 2 * e));
    return e * e * (3 - 2 * e);
}
"""


def ramp(z: Array, width: Array) -> Array:
    """Smooth max(z, 0), exact outside |z| < width. Shapes broadcast; the unit is that of z."""
    xp = module_of(z)
    u = xp.clip((z + width) / (2 * width), 0, 1)
    return 2 * width * u * u * u * (1 - u / 2) + xp.maximum(z - width, 0)


def ramp_slope(z: Array, width: Array) -> Array:
    """Derivative of `ramp` in z: 0 to 1 over the knee (3u² − 2u³)."""
    xp = module_of(z)
    u = xp.clip((z + width) / (2 * width), 0, 1)
    return u * u * (3 - 2 * u)


def ramp_slope_slope(z: Array, width: Array) -> Array:
    """Derivative of `ramp_slope` in z: 3u(1 − u)/width."""
    xp = module_of(z)
    u = xp.clip((z + width) / (2 * width), 0, 1)
    return 3 * u * (1 - u) / width


def limit(z: Array, bound: Array, knee: float) -> Array:
    """Smooth saturation of z at ±bound (bound > 0); `knee` is the half-width of the knee, as a share of bound.

    Exactly z while |z| <= (1 − knee)·bound and never beyond ±bound. On a processor the law is worked out where an
    element reaches its knee, which few do, and z itself is returned, not a copy, where none does.
    """
    xp = module_of(z)
    ratio = xp.abs(z) / bound
    if not isinstance(z, np.ndarray):
        return xp.copysign(_held(xp, ratio, knee) * bound, z)
    there = np.flatnonzero(ratio > 1 - knee)
    if not there.size:
        return z
    found = np.array(np.broadcast_to(z, ratio.shape), order="C")  # its flat view is written into
    bounds = np.broadcast_to(bound, ratio.shape).reshape(-1)[there] if np.size(bound) > 1 else np.ravel(bound)
    found.reshape(-1)[there] = np.copysign(_held(np, ratio.reshape(-1)[there], knee) * bounds, found.reshape(-1)[there])
    return found


def _held(xp: Any, ratio: Array, knee: float) -> Array:
    """|limit| of |z|, both over the bound."""
    u = xp.clip((ratio - (1 - knee)) * (1 / (2 * knee)), 0, 1)
    return xp.minimum(ratio, 1 + knee) - 2 * knee * u * u * u * (1 - u / 2)


def limit_slope(z: Array, bound: Array, knee: float) -> Array:
    """Derivative of `limit` in z: 1 while linear, 0 when flat."""
    xp = module_of(z)
    u = xp.clip((xp.abs(z) / bound - (1 - knee)) / (2 * knee), 0, 1)
    return 1 - u * u * (3 - 2 * u)


def limited_slope(share: Array, knee: float) -> Array:
    """`limit_slope` where |limit(z)| is that share of its bound: e² (3 − 2e), 1 − e being the share of the knee that z
    is past:

        share = 1 − 2 knee d,        d = e³ (1 − e/2)

    e ← ³√(d/(1 − e/2)) converges, by a third a step at the most and at e = 1; then Newton's method.
    """
    xp = module_of(share)
    d = xp.clip((1 - share) / (2 * knee), 0, 0.5)
    e = xp.cbrt(d)
    for _ in range(4):
        e = xp.cbrt(d / (1 - e / 2))
    for _ in range(2):
        e = xp.where(d > 0, e - (e**3 * (1 - e / 2) - d) / xp.where(d > 0, e * e * (3 - 2 * e), 1), 0)
    return xp.where(d < 0.5, e * e * (3 - 2 * e), 1)
