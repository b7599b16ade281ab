"""Our way to cuBLAS without a GPU: what is asked of it is worked out by NumPy from addresses and leading dimensions."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_kernels import HostKernel, eleven_bits

from dsmachine.circuits import cublas, threefold
from dsmachine.circuits.cublas import product
from dsmachine.emulator.backend import Backend

Array = Any
ROUNDED = 77  # the compute type of TF32


class Held(np.ndarray):
    """An array that says where it lies as CuPy's do."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


def held(x: Array) -> Array:
    return np.asarray(x, np.float32).view(Held)


class Library:
    """cuBLAS as its manual has it, column by column. computed: the compute types asked for."""

    def __init__(self) -> None:
        self.computed: list[int] = []

    def cublasSetStream_v2(self, *_: Any) -> None:
        pass

    def cublasGemmEx(
        self, handle: Any, op_a: int, op_b: int, m: int, n: int, k: int, alpha: Any, a: Any, a_type: int, lda: int,
        b: Any, b_type: int, ldb: int, beta: Any, c: Any, c_type: int, ldc: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        self.computed.append(compute)
        left, right = (self._read(*each, compute) for each in ((a, op_a, m, k, lda), (b, op_b, k, n, ldb)))
        found, onto = self._at(c, m, n, ldc), beta._obj.value  # where that is 0, what is there is not read
        found[...] = alpha._obj.value * (left @ right) + (onto * found if onto else 0.0)
        return 0

    def _read(self, address: Any, turned: int, rows: int, columns: int, apart: int, compute: int) -> Array:
        x = self._at(address, columns, rows, apart).T if turned else self._at(address, rows, columns, apart)
        return eleven_bits(x) if compute == ROUNDED else x.astype(float)

    @staticmethod
    def _at(address: Any, rows: int, columns: int, apart: int) -> Array:
        assert apart >= rows
        size = apart * (columns - 1) + rows
        numbers = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (size,))
        return np.lib.stride_tricks.as_strided(numbers, (rows, columns), (4, 4 * apart))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Stands for cuBLAS; products of 32 rows are of many."""
    found = Library()
    device = SimpleNamespace(id=0, compute_capability="90", cublas_handle=1)
    cuda = SimpleNamespace(Device=lambda *_: device, get_current_stream=lambda: SimpleNamespace(ptr=0))
    gpu = SimpleNamespace(
        cuda=cuda, RawKernel=HostKernel, ascontiguousarray=lambda x: np.ascontiguousarray(x).view(Held),
        empty=lambda shape, dtype: np.full(shape, np.nan, dtype).view(Held), broadcast_shapes=np.broadcast_shapes,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", gpu)
    monkeypatch.setattr(cublas, "_library", lambda: found)
    for name, value in {"ROWS": 32, "COLUMNS": 5, "LENGTH": 8}.items():
        monkeypatch.setattr(threefold, name, value)
    for cached in (threefold.quick, threefold._kernel):
        cached.cache_clear()
    yield found
    for cached in (threefold.quick, threefold._kernel):
        cached.cache_clear()


def pairs() -> Iterator[tuple[Array, Array]]:
    """Factors as cells hand them over: weights turned or not, states of positions, parts of rows."""
    rng = np.random.default_rng(0)
    a, w, v = (held(rng.normal(size=shape)) for shape in ((4, 8, 12), (7, 12), (12, 7)))
    yield from ((a.reshape(32, 12), w.T), (a, w.T), (a.reshape(32, 12), v), (a.reshape(32, 12)[:, 2:], v[2:]))


@pytest.mark.parametrize("shaken", [False, True])
def test_products(shaken: bool, library: Library) -> None:
    """Float32's own, and under noise those of parts by TF32, whose rows begin at whole 16 bytes."""
    for a, b in pairs():
        with Backend("numpy").noisy(shaken):
            found = product(a, b, scale=0.5)
        known = 0.5 * np.matmul(a.astype(float), b.astype(float))
        assert found.shape == known.shape
        assert np.abs(found - known).max() < 1e-6 * np.abs(known).max()
        assert found.strides[-2] == (32 if shaken else 28)
    assert library.computed == [ROUNDED if shaken else 68] * 4


@pytest.mark.parametrize("longest", [5, 12])
def test_products_of_parts_without_noise(longest: int, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """In precision tf32x3: of as many rows, noise or none, long sums in turn; those of fewer rows, and float32's, stay
    float32's own."""
    monkeypatch.setattr(threefold, "FEW", 16)
    monkeypatch.setattr(threefold, "LONGEST", longest)
    monkeypatch.setattr(Backend, "here", lambda self: nullcontext())
    for a, b in pairs():
        flat, known = a.reshape(-1, a.shape[-1]), np.matmul(a.astype(float), b.astype(float)).reshape(32, 7)
        for precision, noise, rows, taken in (
            ("tf32x3", False, 32, True), ("tf32x3", True, 16, True), ("tf32x3", False, 15, False),
            ("float32", False, 32, False),
        ):  # fmt: skip
            library.computed.clear()
            with Backend("cupy", precision).arithmetic(), Backend("cupy", precision).noisy(noise):
                found = product(flat[:rows], b)
            assert np.abs(found - known[:rows]).max() < 1e-6 * np.abs(known).max()
            sums = -(-a.shape[-1] // longest)
            assert library.computed == ([ROUNDED] * sums if taken else [68])


def test_where_products_are_to_go(library: Library) -> None:
    """Into an array that is there, and too few rows, are float32's own or keep their place."""
    for a, b in pairs():
        if a.ndim == 2:
            out = held(np.zeros((32, 7)))
            with Backend("numpy").noisy(True):
                assert product(a, b, out) is out
                few = product(a[:31], b)
            assert out == pytest.approx(np.matmul(a, b), abs=1e-5)
            assert few == pytest.approx(np.matmul(a[:31], b), abs=1e-5)
            assert few.strides[-2] == 28
    assert library.computed == [ROUNDED, 68] * 3


def test_tf32_rounds(library: Library) -> None:
    """Without parts, though under noise."""
    token = cublas.TF32.set(True)
    try:
        for a, b in pairs():
            with Backend("numpy").noisy(True):
                found = product(a, b)
            known = np.matmul(eleven_bits(a), eleven_bits(b))
            assert np.abs(found - known).max() < 1e-6 * np.abs(known).max()
            assert found.strides[-2] == 32
    finally:
        cublas.TF32.reset(token)
    assert library.computed == [ROUNDED] * 4
