"""Standard normals by counter: any step of any node on its own, the same on every device.

    word = Philox4x64-10(counter = (1 + node, step // 8, 0, 0), key = (seed, crc32(array)))[step // 2 % 4]
    u    = (lower 32 bits + ½) / 2³²                  r = √(−2 ln u), minus where bit 63 is set
    t    = (bits 32 … 61 + ½) / 2³⁰ − ½               s = sin(π t/2),  c = √(1 − s²)
    (ξ_step, ξ_step+1) = r (c, s), or r (s, c) where bit 62 is set;       step even

which is the transform of Box and Muller, its angle counted from the middles of four quarters. `node` is the flat index,
batch included. The words are those of `np.random.Philox`, which counts up before it draws. All is worked out in float64
and rounded at the end: devices agree in every bit of the words, within one unit in the last place in float32, within
1e-12 in float64. With 32 bits no normal is larger than 6.8.

A GPU's kernel draws the eight normals of a counter at once, free of branches, so that its four pairs overlap. It takes
roots and quotients from float32, followed by one step of Newton's method, and with u = 2ᵉ f, 1/√2 < f < √2,

    −2 ln u = −2 e ln 2 − 4 artanh z,       z = (f − 1)/(f + 1),  z² < 0.0295,

which keeps its relative accuracy where u is close to 1. artanh z/z in z², sine/t and cosine in t² are polynomials of
degree 5 through Chebyshev's points, within 1e-13.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from . import kernels

Array = Any
TOGETHER = 8  # steps that share a counter
ROUNDS = 10
CHUNK = 1 << 11  # nodes that are drawn together, to stay in a cache


def _fitted(law: Callable[[Array], Array], end: float) -> tuple[float, ...]:
    """Coefficients of a polynomial of degree 5 that follows law(y), y from 0 to end."""
    fitted = Chebyshev.interpolate(law, 5, domain=[0, end]).convert(kind=Polynomial)
    return tuple(float(c) for c in fitted.coef)


SINE = _fitted(lambda y: np.sin(math.pi / 2 * np.sqrt(y)) / np.sqrt(y), 0.25)
COSINE = _fitted(lambda y: np.cos(math.pi / 2 * np.sqrt(y)), 0.25)
LOGARITHM = _fitted(lambda y: -4 * np.arctanh(np.sqrt(y)) / np.sqrt(y), (math.sqrt(2) - 1) ** 4)


def array_key(seed: int, name: str) -> tuple[int, int]:
    """Philox key of an array's own stream."""
    return seed, zlib.crc32(name.encode())


def schedule(key: tuple[int, int]) -> Array:
    """The kernel's `Keys`."""
    weyl = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
    numbers = [(k + n * w) % 2**64 for n in range(ROUNDS) for k, w in zip(key, weyl, strict=True)]
    return kernels.struct(np.array(numbers, np.uint64).view(np.int64))


def words(key: tuple[int, int], octet: int, count: int) -> Array:
    """The words (count, 4) of nodes 0 … count − 1 for steps 8·octet … 8·octet + 7."""
    return _stream(key, octet).random_raw(4 * count).reshape(count, 4)


def normals(key: tuple[int, int], first: int, count: int, nodes: int, dtype: Any) -> Array:
    """Standard normals (count, nodes) of steps first … first + count − 1."""
    out = np.empty((count, nodes), dtype)
    for octet in range(first // TOGETHER, -(-(first + count) // TOGETHER)):
        begin = TOGETHER * octet
        steps = range(max(first, begin), min(first + count, begin + TOGETHER))
        stream = _stream(key, octet)
        for at in range(0, nodes, CHUNK):
            size = min(CHUNK, nodes - at)
            drawn = _pairs(np.ascontiguousarray(stream.random_raw(4 * size).reshape(size, 4).T))
            for step in steps:
                word, second = divmod(step - begin, 2)
                out[step - first, at : at + size] = drawn[second, word]
    return out


def _stream(key: tuple[int, int], octet: int) -> np.random.Philox:
    return np.random.Philox(key=np.array(key, np.uint64), counter=np.array([0, octet, 0, 0], np.uint64))


def _pairs(words: Array) -> Array:
    """Two normals (2, …) a word."""
    radius = (words & np.uint64(2**32 - 1)).astype(float)
    radius *= 2.0**-32
    radius += 2.0**-33
    np.log(radius, out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    signed = radius.view(np.uint64)
    signed |= words & np.uint64(2**63)
    angle = (words >> np.uint64(32) & np.uint64(2**30 - 1)).astype(float)
    angle *= 2.0**-30
    angle += 2.0**-31 - 0.5
    sine = _sine(angle)
    cosine = np.multiply(sine, sine, out=angle)
    np.subtract(1, cosine, out=cosine)
    np.sqrt(cosine, out=cosine)
    found = np.stack([cosine, sine])
    found *= radius
    one, other = found.view(np.uint64)
    swap = (one ^ other) & ((words << np.uint64(1)).view(np.int64) >> np.int64(63)).view(np.uint64)
    one ^= swap
    other ^= swap
    return found


def _sine(t: Array) -> Array:
    """sin(π t/2)."""
    y = t * t
    total = y * SINE[-1]
    for c in SINE[-2:0:-1]:
        total += c
        total *= y
    total += SINE[0]
    total *= t
    return total


def _horner(name: str, coefficients: tuple[float, ...]) -> str:
    """Σ c_k y^k in CUDA, of constants by that name."""
    text = f"{name}[{len(coefficients) - 1}]"
    for k in range(len(coefficients) - 2, -1, -1):
        text = f"{name}[{k}] + y * ({text})"
    return text


def _constants(name: str, coefficients: tuple[float, ...]) -> str:
    """Them where an instruction reads them as it computes; a number of 64 bits within the code takes two more."""
    return f"static __constant__ double {name}[] = {{{', '.join(map(repr, coefficients))}}};"


CUDA = f"""
#define TOGETHER {TOGETHER}
#define ROUNDS {ROUNDS}
// Philox's keys of each round, handed over by value: an instruction reads them where they lie
struct Keys {{ unsigned long long at[2 * ROUNDS]; }};
{_constants("LOGARITHM", LOGARITHM)}
{_constants("SINE", SINE)}
{_constants("COSINE", COSINE)}

// About 20 bits of 1/x and of 1/√x of normal numbers
#if SINGLE && defined(__CUDACC__)  // by one instruction, of the word with the exponent
__device__ __forceinline__ double inverse_of(double x) {{
    double found;
    asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(found) : "d"(x));
    return found;
}}
__device__ __forceinline__ double inverse_root_of(double x) {{
    double found;
    asm("rsqrt.approx.ftz.f64 %0, %1;" : "=d"(found) : "d"(x));
    return found;
}}
#else
__device__ __forceinline__ double inverse_of(double x) {{ return __fdividef(1.0f, (float)x); }}
__device__ __forceinline__ double inverse_root_of(double x) {{ return rsqrtf((float)x); }}
#endif

// the words and normals of normals.py, of one node
struct Normals {{
    const Keys& keys;
    const unsigned long long node;
    __device__ __forceinline__ Normals(const Keys& of_array, long long index)
        : keys(of_array), node(1 + (unsigned long long)index) {{}}
    __device__ __forceinline__ void raw(unsigned long long octet, unsigned long long* out) const {{
        unsigned long long a = node, b = octet, c = 0, d = 0;
#pragma unroll
        for (int round = 0; round < ROUNDS; ++round) {{
            const unsigned long long p = 0xD2E7470EE14C6C93ull, q = 0xCA5A826395121157ull;
            const unsigned long long high = __umul64hi(p, a), low = p * a, far = __umul64hi(q, c), near = q * c;
            a = far ^ b ^ keys.at[2 * round], b = near, c = high ^ d ^ keys.at[2 * round + 1], d = low;
        }}
        out[0] = a, out[1] = b, out[2] = c, out[3] = d;
    }}
    // n + ½: the mantissa of 2⁵² + n
    static __device__ __forceinline__ double middle(unsigned n) {{
        return __longlong_as_double(0x4330000000000000ll | n) - 4503599627370495.5;
    }}
    // −2 ln of n + ½ over 2³²; the high words of 1/√2 and of 2³² take e and f apart; e is a number by its mantissa too
    static __device__ __forceinline__ double twice_log(unsigned n) {{
        const long long bits = __double_as_longlong(middle(n));
        const int e = ((int)(bits >> 32) - 0x3FE6A09E - (32 << 20)) >> 20;
        const double f = __longlong_as_double(bits - ((long long)(e + 32) << 52)), below = f - 1, above = f + 1;
        const double power = middle((unsigned)(e + 64)) - 64.5;
        const double inverse = inverse_of(above), rough = below * inverse;
        const double z = rough + rough * (1 - above * inverse), y = z * z;
        return power * {-2 * math.log(2)!r} + z * ({_horner("LOGARITHM", LOGARITHM)});
    }}
    static __device__ __forceinline__ double root(double square) {{
        const double inverse = inverse_root_of(square), rough = square * inverse;
        return rough + 0.5 * rough * (1 - rough * inverse);
    }}
    static __device__ __forceinline__ void pair(unsigned long long word, REAL* out) {{
        const unsigned upper = (unsigned)(word >> 32);
        const long long sign = (long long)(word & 0x8000000000000000ull);
        const double r = __longlong_as_double(__double_as_longlong(root(twice_log((unsigned)word))) ^ sign);
        const double t = middle(upper & 0x3FFFFFFF) * {2.0**-30!r} - 0.5, y = t * t;
        const REAL sine = (REAL)(r * (t * ({_horner("SINE", SINE)})));
        const REAL cosine = (REAL)(r * ({_horner("COSINE", COSINE)}));
        const bool swap = upper >> 30 & 1;
        out[0] = swap ? sine : cosine, out[1] = swap ? cosine : sine;
    }}
    // of steps TOGETHER octet … TOGETHER octet + TOGETHER − 1
    __device__ __forceinline__ void draw(unsigned long long octet, REAL* out) const {{
        unsigned long long word[TOGETHER / 2];
        raw(octet, word);
#pragma unroll
        for (int n = 0; n < TOGETHER / 2; ++n) pair(word[n], out + 2 * n);
    }}
}};
"""
