"""Standard normals by counter: any step of any node on its own, the same on every device.

    word = Philox4x64-10(counter = (1 + node, step // 8, 0, 0), key = (seed, crc32(array)))[step // 2 % 4]
    u    = (lower 32 bits + ½) / 2³²                  r = √(−2 ln u), minus where bit 63 is set
    t    = (bits 32 … 61 + ½) / 2³⁰ − ½               s = sin(π t/2),  c = √(1 − s²)
    (ξ_step, ξ_step+1) = r (c, s), or r (s, c) where bit 62 is set;       step even

which is the transform of Box and Muller, its angle counted from the middles of four quarters. `node` is the flat index,
batch included. The words are those of `np.random.Philox`, which counts up before it draws. All is worked out in float64
and rounded at the end: devices agree in every bit of the words, and within one unit in the last place in float32. The
sine is its series to t¹¹, within 1e-11. With 32 bits no normal is larger than 6.8.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from . import kernels

Array = Any
TOGETHER = 8  # steps that share a counter
CHUNK = 1 << 11  # nodes that are drawn together, to stay in a cache
SINE = tuple((-1) ** k * (math.pi / 2) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(6))


def array_key(seed: int, name: str) -> tuple[int, int]:
    """Philox key of an array's own stream."""
    return seed, zlib.crc32(name.encode())


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


def _horner(coefficients: tuple[float, ...]) -> str:
    """Σ c_k y^k in CUDA."""
    text = repr(coefficients[-1])
    for c in coefficients[-2::-1]:
        text = f"{c!r} + y * ({text})"
    return text


CUDA = f"""
// the words and normals of normals.py: of one node, for ascending steps
struct Normals {{
    const unsigned long long seed, name, node;
    unsigned long long a, b, c, d;
    double other;
    bool begun;
    __device__ __forceinline__ Normals(unsigned long long key, unsigned long long array, long long index)
        : seed(key), name(array), node(1 + (unsigned long long)index), other(0), begun(false) {{}}
    __device__ __forceinline__ void draw(unsigned long long octet) {{
        unsigned long long k = seed, l = name;
        a = node, b = octet, c = 0, d = 0;
#pragma unroll
        for (int round = 0; round < 10; ++round) {{
            const unsigned long long p = 0xD2E7470EE14C6C93ull, q = 0xCA5A826395121157ull;
            const unsigned long long high = __umul64hi(p, a), low = p * a, far = __umul64hi(q, c), near = q * c;
            a = far ^ b ^ k, b = near, c = high ^ d ^ l, d = low;
            k += 0x9E3779B97F4A7C15ull, l += 0xBB67AE8584CAA73Bull;
        }}
    }}
    __device__ __forceinline__ double at(long long step) {{
        const int place = (int)(step & {TOGETHER - 1});
        if (place == 0 || !begun) draw((unsigned long long)(step / {TOGETHER}));
        if ((place & 1) && begun) return other;
        begun = true;
        const unsigned long long word = place < 4 ? (place < 2 ? a : b) : (place < 6 ? c : d);
        const unsigned lower = (unsigned)word, upper = (unsigned)(word >> 32);
        const double radius = sqrt(-2 * log((lower + 0.5) * {2.0**-32!r})), r = upper >> 31 ? -radius : radius;
        const double t = ((upper & 0x3FFFFFFF) + 0.5) * {2.0**-30!r} - 0.5, y = t * t;
        const double s = t * ({_horner(SINE)}), sine = r * s, cosine = r * sqrt(1 - s * s);
        const bool swap = upper >> 30 & 1;
        other = swap ? cosine : sine;
        const double one = swap ? sine : cosine;
        return place & 1 ? other : one;
    }}
}};
"""
FILL = """
extern "C" __global__ void words(
    const long long size, const long long octet, const unsigned long long seed, const unsigned long long name,
    unsigned long long* out)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    Normals drawn(seed, name, i);
    drawn.draw((unsigned long long)octet);
    out[4 * i] = drawn.a, out[4 * i + 1] = drawn.b, out[4 * i + 2] = drawn.c, out[4 * i + 3] = drawn.d;
}

extern "C" __global__ void normals(
    const long long size, const long long first, const int count, const unsigned long long seed,
    const unsigned long long name, REAL* out)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    Normals drawn(seed, name, i);
    for (int k = 0; k < count; ++k) out[k * size + i] = (REAL)drawn.at(first + k);
}
"""


def fill_source(dtype: Any) -> str:
    """Source of `words` (size, 4) and `normals` (count, size), which only fill an array."""
    return kernels.defines(dtype) + CUDA + FILL
