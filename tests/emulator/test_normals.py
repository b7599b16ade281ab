"""Counted normals: the words against NumPy's Philox, the transform against its formula, the law against scipy."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from host_kernels import HostKernel
from normal_kernels import fill_source
from scipy import stats

from dsmachine.emulator.kernels import defines
from dsmachine.emulator.normals import CUDA, array_key, normals, schedule, words

Array = Any
KEYS = [(0, "a"), (1, "h.0.mlp.act"), (2**63 - 1, "logits"), (123456789, "π")]


def from_kernel(name: str, dtype: Any, out: Array, *sizes: Any, key: tuple[int, int]) -> Array:
    nodes = np.int64(out.shape[0] if name == "words" else out.shape[1])
    HostKernel(fill_source(dtype), name)((int(nodes),), (1,), (nodes, *sizes, schedule(key), out))
    return out


@pytest.mark.parametrize(("seed", "name"), KEYS)
@pytest.mark.parametrize("octet", [0, 1, 77, 2**40])
def test_words_are_numpys(seed: int, name: str, octet: int) -> None:
    """Word for word, from NumPy's own generator and from the kernel."""
    key = array_key(seed, name)
    assert key == (seed, zlib.crc32(name.encode()))
    stream = np.random.Philox(key=np.array(key, np.uint64))
    stream.advance(octet << 64)
    known = stream.random_raw(4 * 500).reshape(500, 4)
    assert (words(key, octet, 500) == known).all()
    found = from_kernel("words", np.float64, np.zeros((500, 4), np.uint64), np.int64(octet), key=key)
    assert (found == known).all()


def by_formula(key: tuple[int, int], steps: int, nodes: int) -> Array:
    """The module's docstring with NumPy's own cosine and sine."""
    rows = []
    for octet in range(-(-steps // 8)):
        word = words(key, octet, nodes)
        lower, upper = word & np.uint64(2**32 - 1), word >> np.uint64(32)
        radius = np.sqrt(-2 * np.log((lower.astype(float) + 0.5) / 2**32)) * np.where(word >> np.uint64(63), -1, 1)
        angle = np.pi / 2 * (((upper % np.uint64(2**30)).astype(float) + 0.5) / 2**30 - 0.5)
        swap = (word >> np.uint64(62)) % np.uint64(2) == 1
        one, other = np.where(swap, np.sin(angle), np.cos(angle)), np.where(swap, np.cos(angle), np.sin(angle))
        rows += [part[:, k] for k in range(4) for part in (radius * one, radius * other)]
    return np.stack(rows)[:steps]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", [0, 3, 8, 21])
@pytest.mark.parametrize("count", [1, 2, 19])
def test_normals_of_any_steps(first: int, count: int, dtype: Any) -> None:
    key = array_key(5, "a")
    known = by_formula(key, first + count, 5000)[first:]
    found = normals(key, first, count, 5000, dtype)
    assert found.dtype == dtype
    kernels = from_kernel("normals", dtype, np.zeros((count, 5000), dtype), np.int64(first), np.int32(count), key=key)
    if dtype == np.float64:
        np.testing.assert_allclose(found, known, rtol=2e-11, equal_nan=False)
        np.testing.assert_allclose(kernels, known, rtol=2e-11, equal_nan=False)
    else:
        for values in (found, kernels):
            assert (np.abs(values - known) <= np.spacing(np.abs(known).astype(np.float32))).all()
        assert (np.abs(found - kernels) <= np.spacing(np.abs(found))).all()


LOGS = """
extern "C" __global__ void logs(const int size, const unsigned* n, double* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) out[i] = Normals::twice_log(n[i]);
}
"""


def test_logarithm_at_its_ends() -> None:
    """−2 ln u relative to itself, where u is smallest, closest to 1 and about to change its power of two."""
    near = np.arange(-1000, 1000)
    places = [(2.0 ** (e - 0.5) + near) % 2**32 for e in range(12, 33)] + [near % 2**32, 2.0**31 + near]
    n = np.concatenate(places).astype(np.uint32)
    found = np.zeros(len(n))
    HostKernel(defines(np.float64) + CUDA + LOGS, "logs")((len(n),), (1,), (np.int32(len(n)), n, found))
    known = -2 * np.log1p((n.astype(np.longdouble) + 0.5 - 2**32) / 2**32)
    np.testing.assert_allclose(found, known.astype(float), rtol=1e-12)


def test_any_node_does_not_depend_on_how_many() -> None:
    key = array_key(5, "a")
    assert (normals(key, 0, 16, 5000, np.float32)[:, :7] == normals(key, 0, 16, 7, np.float32)).all()


def test_law() -> None:
    """Two million: moments within four standard errors, Kolmogorov-Smirnov, no correlation of steps or nodes."""
    drawn = normals(array_key(1, "law"), 0, 40, 50_000, np.float64)
    count = drawn.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((drawn**power).mean() - moment) < 4 * np.sqrt(variance / count)
    assert stats.kstest(drawn.reshape(-1), "norm").pvalue > 1e-3
    steps = np.corrcoef(drawn)
    assert np.abs(steps - np.eye(40)).max() < 5 / np.sqrt(50_000)
    for values in (drawn, drawn**2 - 1):
        assert abs((values[:, 1:] * values[:, :-1]).mean()) < 4 * values.var() / np.sqrt(count)
        assert abs((values[1:] * values[:-1]).mean()) < 4 * values.var() / np.sqrt(count)


def test_keys_make_streams_of_their_own() -> None:
    drawn = [normals(array_key(seed, name), 0, 64, 2000, np.float64).reshape(-1) for seed, name in KEYS]
    off = np.corrcoef(np.stack(drawn)) - np.eye(len(KEYS))
    assert np.abs(off).max() < 5 / np.sqrt(len(drawn[0]))
