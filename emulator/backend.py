"""Where and how precisely a run computes: array module and floating-point type, chosen per run, never global."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..circuits import checks, threefold
from ..circuits.arrays import on_host
from ..circuits.cublas import TF32, THREEFOLD
from ..circuits.errors import Error, shown
from . import kernels

Array = Any
KEPT = 4096  # small arrays
CACHED = 1 << 17  # node values that stay in a processor's cache
FEW, MANY = 1 << 19, 1 << 28  # node values of a block on a GPU: less work than a launch is; 1 GiB in float32
Cell = TypeVar("Cell")
DTYPES = {"float32": np.float32, "float64": np.float64, "tf32": np.float32, "tf32x3": np.float32}
ROUNDING = {"float32": 2.0**-22, "float64": 2.0**-51, "tf32": 2.0**-15, "tf32x3": 2.0**-22}  # see `Backend.rounding`


def moving(cell: Any) -> list[tuple[str, Any]]:
    """(name, value) of what a cell (dataclass) takes with it to a device: all but what is marked `HOST`."""
    stays = {each.name for each in fields(cell) if each.metadata.get("host")}
    return [(name, value) for name, value in vars(cell).items() if name not in stays]


@dataclass(frozen=True)
class Backend:
    """`device` "numpy", "cupy" or "cupy:1", a GPU by its number; `precision` "float32", "float64" or, on a GPU, "tf32":
    float32 whose matrix products round their factors to 11 bits, and "tf32x3": float32 whose large ones are three of
    those (`threefold.py`)."""

    device: str = "numpy"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not checks.among(self.precision, tuple(DTYPES)):
            raise Error(f"precision {shown(self.precision)} is unknown: choose one of {', '.join(DTYPES)}")
        if not re.fullmatch(r"numpy|cupy(:\d+)?", str(self.device)):
            raise Error(f"device {shown(self.device)} is unknown: choose numpy or cupy (cupy:1 is a GPU by its number)")
        if self.precision.startswith("tf32") and self.kind != "cupy":
            raise Error(f"precision {self.precision!r} is a GPU's: use device='cupy', or float32")

    @property
    def kind(self) -> str:
        """The array module's name, "numpy" or "cupy"."""
        return self.device.partition(":")[0]

    @property
    def number(self) -> int | None:
        """Which GPU; None: the thread's present one."""
        number = self.device.partition(":")[2]
        return int(number) if number else None

    @cached_property
    def xp(self) -> Any:
        """The array module."""
        if self.kind == "numpy":
            return np
        try:
            import cupy
        except ImportError:
            found = 0
        else:
            found = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
        if found > (self.number or 0):
            return cupy
        if found:
            raise Error(f"device {shown(self.device)} is not here: there are {found} GPUs, counted from cupy:0")
        raise Error(
            f"device {self.device!r} needs CuPy and a GPU, which are not here: pip install 'dsmachine[cuda13]' or use "
            "numpy"
        )

    @contextmanager
    def here(self) -> Iterator[None]:
        """New arrays of this thread are made on this device in here."""
        if self.kind == "numpy":
            yield
            return
        with self.xp.cuda.Device(self.number):
            yield

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Work in here is this device's, its matrix products of this precision."""
        before, apart = TF32.set(self.precision == "tf32"), THREEFOLD.set(self._threefold)
        try:
            with self.here():
                yield
        finally:
            TF32.reset(before)
            THREEFOLD.reset(apart)

    @property
    def _threefold(self) -> int:
        return threefold.FEW if self.precision == "tf32x3" else 0

    @contextmanager
    def noisy(self, shaken: bool) -> Iterator[None]:
        """Float32 products of many rows in here are those of parts (`threefold.py`), if noise shakes what they push."""
        before = THREEFOLD.set(self._threefold or (threefold.ROWS if shaken else 0))
        try:
            yield
        finally:
            THREEFOLD.reset(before)

    def brought(self, value: Array) -> Array:
        """An array of another device as one of this one's, inside `here`; what is no GPU's array stays what it is.

        Neither device's queue knows the other's, so both are waited for.
        """
        if self.kind == "numpy" or not hasattr(value, "get"):
            return value
        if value.device == self.xp.cuda.Device():
            return value
        with value.device:
            whole = self.xp.ascontiguousarray(value)
            self.finish()
        found = whole.copy()  # CuPy: onto the present device
        self.finish()
        return found

    def finish(self) -> None:
        """Wait until the present device has done what this thread asked it."""
        if self.kind != "numpy":
            self.xp.cuda.get_current_stream().synchronize()

    def shelf(self, size: int) -> Array:
        """Host memory for numbers (size,) that go to the device again and again: on a GPU pinned, for its copier."""
        if self.kind == "numpy":
            return np.empty(size, self.dtype)
        import cupyx

        return cupyx.empty_pinned(size, self.dtype)

    @cached_property
    def _constants(self) -> dict[Any, Array]:
        return {}

    def constants(self) -> list[Array]:
        """What `kept` has kept, for one who needs it to stay."""
        return list(self._constants.values())

    def kept(self, make: Callable[..., Array], *args: Any) -> Array:
        """make(*args), placed on the device in this precision; the latest KEPT of them stay."""
        key = (make, *args)
        if key not in self._constants:
            if len(self._constants) >= KEPT:
                del self._constants[next(iter(self._constants))]
            self._constants[key] = self.array(make(*args))
        return self._constants[key]

    @property
    def dtype(self) -> Any:
        return DTYPES[self.precision]

    @property
    def rounding(self) -> float:
        """Rms share of full scale that rounding leaves in the estimated error of an element at rest, at most.

        In float32 1.9e-7 in models of 3 and of 32 layers (of roots, whose own feedback is looked at between points), in
        tf32 2.5e-5. There factors are rounded to steps of Δ = 2⁻¹⁰ of their size, and points differ by float32's
        δ = 2⁻²³: of such a difference rounding makes Δ with probability δ/Δ, √(δΔ) = 1e-5 rms.
        """
        return ROUNDING[self.precision]

    def array(self, value: Array) -> Array:
        """A contiguous array of this backend's type on its device."""
        return self.xp.ascontiguousarray(self.xp.asarray(value, dtype=self.dtype))

    def fetched(self, arrays: Sequence[Array]) -> list[Array]:
        """Some arrays of this device on the host, in one transfer."""
        if len(arrays) < 2 or all(isinstance(array, np.ndarray) for array in arrays):
            return [self.host(array) for array in arrays]
        with self.here():
            together = self.host(self.xp.concatenate([array.reshape(-1) for array in arrays]))
        ends = np.cumsum([array.size for array in arrays])
        parts = np.split(together, ends[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def index(self, index: Any) -> Any:
        """An index into arrays of this backend's, arrays in it on its device; Ellipsis stays."""
        if isinstance(index, tuple):
            return tuple(self.index(each) for each in index)
        return self.xp.asarray(index) if isinstance(index, np.ndarray | list) else index

    def spread(self, value: Array, shape: tuple[int, ...]) -> Array:
        """A value in a shape that it broadcasts to, contiguous."""
        return self.xp.ascontiguousarray(value if value.shape == shape else self.xp.broadcast_to(value, shape))

    def block(self, values: int) -> int:
        """Elements of so many node values each that are solved at once at most: what stays in a cache; on a GPU four
        unless they are too large, and more where they are small. Longer rows of equal elements save launches, but there
        are more elements then, each of them kept, as one grows only after a row.

        >>> [Backend("cupy").block(values) for values in (1 << 15, 1 << 20, 1 << 27, 1 << 30)]
        [16, 4, 2, 1]
        """
        if self.kind == "numpy":
            return max(1, CACHED // values)
        return max(1, min(4, MANY // values), FEW // values)

    @property
    def step_values(self) -> int:
        """Node values that a block of steps may hold: what stays in a cache, or in a tenth of the GPU's memory."""
        if self.kind == "numpy":
            return CACHED
        return int(0.1 * self.xp.cuda.runtime.memGetInfo()[1] / np.dtype(self.dtype).itemsize)

    @property
    def most_steps(self) -> int:
        """Steps of a block at most: a GPU's products gain from more rows, its processor from fewer launches."""
        return 128 if self.kind == "numpy" else 512

    @property
    def longer(self) -> int:
        """How often a window may double where elements are solved in rows: elements beyond the end cost a GPU more."""
        return 3 if self.kind == "numpy" else 1

    @property
    def fused(self) -> bool:
        """Whether arrays are solved by kernels of our own (`fused.py`)."""
        return self.kind == "cupy"

    def kernel(self, source: str, name: str) -> Any:
        """A kernel of ours, ready to be launched on a GPU."""
        return kernels.compiled(source, name)

    def address(self, value: Array) -> int:
        """Where an array begins in the device's memory."""
        return int(value.data.ptr if hasattr(value.data, "ptr") else value.ctypes.data)

    def host(self, value: Array) -> Array:
        """The value as a NumPy array."""
        with self.here():  # whose queue is waited for
            return on_host(value)

    def put(self, value: Array) -> Array:
        """An array of the host on this device, numbers with a fraction in this precision."""
        return self.array(value) if value.dtype.kind == "f" else self.xp.asarray(value)

    def place(self, cell: Cell, put: Callable[[Array], Array] | None = None) -> Cell:
        """A copy of a cell (dataclass) whose arrays are on this device, in this precision; in `here`. put: what brings
        one of the host there."""
        changes: dict[str, Any] = {}
        for name, value in moving(cell):
            if isinstance(value, np.ndarray):
                changes[name] = (put or self.put)(value)
            elif hasattr(value, "get") and hasattr(value, "dtype"):  # a GPU's array
                changes[name] = self.brought(value)
            elif hasattr(value, "__dataclass_fields__"):
                placed = self.place(value, put)
                if placed is not value:
                    changes[name] = placed
        if not changes:
            return cell
        copied = copy.copy(cell)
        vars(copied).update(changes)
        return copied
