"""Where and how precisely a run computes: array module and floating-point type, chosen per run, never global."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..circuits.errors import Error

Array = Any
Cell = TypeVar("Cell")
DTYPES = {"float32": np.float32, "float64": np.float64}


@dataclass(frozen=True)
class Backend:
    """`device` "numpy" or "cupy"; `precision` "float32" or "float64"."""

    device: str = "numpy"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in DTYPES:
            raise Error(f"precision {self.precision!r} is unknown: choose one of {', '.join(DTYPES)}")
        if self.device not in ("numpy", "cupy"):
            raise Error(f"device {self.device!r} is unknown: choose numpy or cupy")

    @cached_property
    def xp(self) -> Any:
        """The array module."""
        if self.device == "numpy":
            return np
        try:
            import cupy

            if cupy.cuda.is_available():
                return cupy
        except ImportError:
            pass
        raise Error(
            "device 'cupy' needs CuPy and a GPU, which are not here: pip install 'dsmachine[cuda13]' or use numpy"
        )

    @property
    def dtype(self) -> Any:
        return DTYPES[self.precision]

    def array(self, value: Array) -> Array:
        """A contiguous array of this backend's type on its device."""
        return self.xp.ascontiguousarray(self.xp.asarray(value, dtype=self.dtype))

    def host(self, value: Array) -> Array:
        """The value as a NumPy array."""
        return value.get() if hasattr(value, "get") else np.asarray(value)

    def place(self, cell: Cell) -> Cell:
        """A copy of a cell (dataclass) whose floating-point arrays are on the device in this precision."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(cell):  # type: ignore[arg-type]
            value = getattr(cell, field.name)
            if isinstance(value, np.ndarray):
                floating = np.issubdtype(value.dtype, np.floating)
                changes[field.name] = self.array(value) if floating else self.xp.asarray(value)
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                changes[field.name] = self.place(value)
        return dataclasses.replace(cell, **changes) if changes else cell  # type: ignore[type-var]
