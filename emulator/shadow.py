"""Arrays without numbers: a run is walked through on them to see how many bytes it holds.

A `Shadow` has shape, strides and type of an array and answers what the engine asks of one; a `Ledger` counts the bytes
that all of them would own, from their making until nobody refers to them, as the memory of a process or a GPU does. So
what is counted is the engine's own code, temporaries included, and nothing about a cell is known here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..circuits import threefold
from ..circuits.cublas import in_parts, matrix, stacked
from .ledger import Ledger, Owned

Array = Any
REUSED = 256 << 10  # bytes from which NumPy writes a result into a temporary that nobody else refers to
PLAIN = int, np.integer, slice, type(None), type(...)  # what picks a part of an array that lies in it


class Unpredicted(AttributeError, TypeError):
    """Something is asked of an array without numbers that this module does not know."""


@lru_cache(maxsize=4096)
def laid_out(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None) -> Array:
    """What NumPy knows of a contiguous array, in the order of `strides`; its numbers are not to be read."""
    order = sorted(range(len(shape)), key=lambda axis: -abs(strides[axis])) if strides else range(len(shape))
    own, step = [0] * len(shape), dtype.itemsize
    for axis in reversed(order):
        own[axis] = step
        step *= max(shape[axis], 1)
    return as_strided(np.zeros(1, dtype), shape, own)


class Shadow(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of zeros as far as anybody can tell: what it is asked for in numbers is 0."""

    __slots__ = ("ledger", "meta", "owned")
    __array_priority__ = 1000
    __module__ = "numpy"  # `module_of` finds NumPy, whose functions hand over to the class

    def __init__(self, ledger: Ledger, meta: Array, owned: Owned) -> None:
        self.ledger, self.meta, self.owned = ledger, meta, owned

    @classmethod
    def fresh(cls, ledger: Ledger, shape: Sequence[int], dtype: Any, *, like: Array = None) -> Shadow:
        """New memory, its axes in the order in which they lie in `like`."""
        same = like is not None and like.shape == shape and not like.flags.c_contiguous
        meta = laid_out(tuple(shape), np.dtype(dtype), like.strides if same else None)
        return cls(ledger, meta, Owned(ledger, meta.nbytes))

    @classmethod
    def shared(cls, ledger: Ledger, shape: Sequence[int], dtype: Any) -> Shadow:
        """Memory that is another's to count."""
        return cls(ledger, laid_out(tuple(shape), np.dtype(dtype), None), Owned(ledger, 0))

    def view(self, meta: Array) -> Shadow:
        """Another look at the same memory."""
        return Shadow(self.ledger, meta, self.owned)

    def new(self, shape: Sequence[int], dtype: Any = None, *, like: Array = None) -> Shadow:
        """New memory beside this."""
        return Shadow.fresh(self.ledger, shape, self.dtype if dtype is None else dtype, like=like)

    # --- what an array is ---------------------------------------------------------------------------------

    shape = property(lambda self: self.meta.shape)
    dtype = property(lambda self: self.meta.dtype)
    ndim = property(lambda self: self.meta.ndim)
    size = property(lambda self: self.meta.size)
    nbytes = property(lambda self: self.meta.nbytes)
    strides = property(lambda self: self.meta.strides)
    itemsize = property(lambda self: self.meta.itemsize)
    flags = property(lambda self: self.meta.flags)
    base = property(lambda self: self.owned)
    T = property(lambda self: self.view(self.meta.T))

    def __len__(self) -> int:
        return len(self.meta)

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self)))

    def __float__(self) -> float:
        return 0.0

    def __int__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    # --- other looks at it --------------------------------------------------------------------------------

    def transpose(self, *axes: int) -> Shadow:
        return self.view(self.meta.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> Shadow:
        return self.view(self.meta.swapaxes(a, b))

    def reshape(self, *shape: Any) -> Shadow:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        try:
            meta = self.meta.reshape(wanted, copy=False)
        except ValueError:  # it does not lie so: it would be copied
            known = math.prod(n for n in wanted if n >= 0)
            return self.new(tuple(self.size // known if n < 0 else n for n in wanted))
        return self.view(meta)

    def ravel(self) -> Shadow:
        return self.reshape(-1)

    def __getitem__(self, index: Any) -> Shadow:
        parts = index if isinstance(index, tuple) else (index,)
        places = [k for k, part in enumerate(parts) if not isinstance(part, PLAIN)]
        if not places:
            return self.view(np.asarray(self.meta[parts if Ellipsis in parts else (*parts, ...)]))
        where = places[0]
        if len(places) > 1 or not isinstance(parts[where], np.ndarray | Shadow) or parts[where].dtype.kind not in "iu":
            raise Unpredicted("an array without numbers was asked for some of them by more than one array of integers")
        picked = tuple(slice(None) if k == where else part for k, part in enumerate(parts))
        axis = where if Ellipsis not in parts[:where] else self.ndim - (len(parts) - where)
        rest = self.meta[picked].shape
        return self.new((*rest[:axis], *parts[where].shape, *rest[axis + 1 :]))

    def __setitem__(self, index: Any, value: Any) -> None:
        pass

    # --- what is done with it -----------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        raise Unpredicted(f"no {name} of an array without numbers")

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise Unpredicted("an array without numbers was asked for them")

    def copy(self) -> Shadow:
        return self.new(self.shape)

    def astype(self, dtype: Any) -> Shadow:
        return self.new(self.shape, dtype, like=self.meta)

    def sum(self, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Shadow:
        kind = np.int64 if self.dtype.kind == "b" else dtype
        return self.new(_reduced(self.shape, axis, keepdims), kind)

    def max(self, axis: Any = None, *, keepdims: bool = False, **_: Any) -> Shadow:
        return self.new(_reduced(self.shape, axis, keepdims))

    min = mean = max

    def any(self) -> bool:
        return False

    def all(self) -> bool:
        return True

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        arrays = [x.meta if isinstance(x, Shadow) else np.asarray(x) for x in inputs]
        if ufunc is np.matmul:
            return self._multiplied(arrays[0], arrays[1], None if out is None else out[0])
        if out is not None:
            return out[0]
        if method == "reduce":
            dtype = bool if ufunc in (np.logical_or, np.logical_and) else None
            axis, keepdims = options.get("axis", 0), options.get("keepdims", False)
            return self.new(_reduced(arrays[0].shape, axis, keepdims), dtype)
        pairs = zip(inputs, arrays, strict=True)
        kinds: list[Any] = [type(x) if type(x) in (int, float) else a.dtype for x, a in pairs]
        shape = _together(*(a.shape for a in arrays))
        like = next((a for a in arrays if a.shape == shape), None)
        made = [self.new(shape, kind, like=like) for kind in _kinds(ufunc, *kinds)]
        return made[0] if len(made) == 1 else tuple(made)

    def _multiplied(self, a: Array, b: Array, out: Shadow | None) -> Shadow:
        """a @ b; on a GPU matrices are copied that `cublas.py` cannot read where they lie, or takes apart."""
        lead = _together(a.shape[:-2], b.shape[:-2])
        shape, kind = (*lead, a.shape[-2], b.shape[-1]), np.result_type(a.dtype, b.dtype)
        into = self.new(shape, kind) if out is None else out
        if not self.ledger.reuses:
            _copies = [self.new(x.shape, x.dtype) for x in (a, b) if not matrix(x)]
            axes = stacked(lead, a, b, into.meta)
            if not axes and in_parts(a, b):
                at_once = min(a.shape[-1], threefold.LONGEST)
                _copies += [self.new((3, at_once, many), kind) for many in (a.shape[-2], b.shape[-1])]
            if len(axes) > 2:
                _copies += [self.new((*lead, *x.shape[-2:]), x.dtype) for x in (a, b)] + [self.new(shape, kind)]
        return into

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in HANDED:
            raise Unpredicted(f"no {function.__name__} of arrays without numbers")
        return getattr(Functions(self.ledger), HANDED[function])(*args, **kwargs)


# --- operators, which write into a temporary where NumPy does ---------------------------------------------


def _free_count() -> int:
    """What `sys.getrefcount` says, inside an operator, of a temporary that nobody else refers to."""

    class Probe:
        def __add__(self, other: Any) -> int:
            return sys.getrefcount(self)

    return Probe() + 0


FREE = _free_count()


def _takes(into: Shadow, other: Any) -> Any:
    """Whether what an operator makes of a temporary and something else fits where the temporary lies."""
    if not into.ledger.reuses or into.nbytes < REUSED or sys.getrefcount(into.owned) > 2:
        return False
    shape, kind = np.shape(getattr(other, "meta", other)), getattr(other, "dtype", type(other))
    return _together(into.shape, shape) == into.shape and np.result_type(into.dtype, kind) == into.dtype


def _operator(ufunc: Any) -> Callable[[Shadow, Any], Any]:
    def apply(self: Shadow, other: Any) -> Any:
        if sys.getrefcount(self) <= FREE and _takes(self, other):
            return self.view(self.meta)
        if isinstance(other, Shadow) and sys.getrefcount(other) <= FREE and ufunc in COMMUTE and _takes(other, self):
            return other.view(other.meta)
        return ufunc(self, other)

    return apply


def _unary(ufunc: Any) -> Callable[[Shadow], Any]:
    def apply(self: Shadow) -> Any:
        return self.view(self.meta) if sys.getrefcount(self) <= FREE and _takes(self, 0) else ufunc(self)

    return apply


COMMUTE = (np.add, np.multiply)
_ufunc: Any
for _name, _ufunc in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide}.items():
    setattr(Shadow, f"__{_name}__", _operator(_ufunc))
    setattr(Shadow, f"__i{_name}__", lambda self, other: self)
for _name, _ufunc in {"abs": np.absolute, "neg": np.negative}.items():
    setattr(Shadow, f"__{_name}__", _unary(_ufunc))


# --- functions --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _kinds(ufunc: Any, *kinds: Any) -> tuple[Any, ...]:
    """Types of what a ufunc returns."""
    found: tuple[Any, ...] = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))[ufunc.nin :]
    return found


_together = lru_cache(maxsize=4096)(np.broadcast_shapes)


def _reduced(shape: tuple[int, ...], axis: Any, keepdims: bool) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in np.atleast_1d(axis)]
    kept = [1 if k in axes else n for k, n in enumerate(shape)]
    return tuple(kept) if keepdims else tuple(n for k, n in enumerate(kept) if k not in axes)


def _meta(x: Any) -> Array:
    return x.meta if isinstance(x, Shadow) else np.asarray(x)


class Functions:
    """The array functions that the engine calls, of arrays without numbers; `xp` of a `Weightless` backend."""

    float32, float64, int64, bool_ = np.float32, np.float64, np.int64, np.bool_

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.linalg = self

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)  # element by element: they hand over to the class

    def empty(self, shape: Any, dtype: Any = np.float64) -> Shadow:
        return Shadow.fresh(self.ledger, tuple(shape) if np.ndim(shape) else (int(shape),), dtype)

    zeros = ones = empty

    def arange(self, count: int) -> Shadow:
        return self.empty(count, np.int64)

    def empty_like(self, x: Any, dtype: Any = None, order: str = "C", shape: Any = None) -> Shadow:
        return self.empty(x.shape if shape is None else shape, x.dtype if dtype is None else dtype)

    def asarray(self, x: Any, dtype: Any = None) -> Shadow:
        meta = _meta(x)
        if isinstance(x, Shadow) and dtype in (None, x.dtype):
            return x
        if self.ledger.reuses and isinstance(x, np.ndarray) and dtype in (None, x.dtype) and x.flags.c_contiguous:
            return Shadow.shared(self.ledger, x.shape, x.dtype)  # NumPy makes no copy
        return self.empty(meta.shape, meta.dtype if dtype is None else dtype)

    def ascontiguousarray(self, x: Any, dtype: Any = None) -> Shadow:
        found = self.asarray(x, dtype)
        return found if found.flags.c_contiguous else found.copy()

    def broadcast_to(self, x: Any, shape: Any) -> Shadow:
        return self.asarray(x).view(np.broadcast_to(self.asarray(x).meta, shape))

    def concatenate(self, parts: Sequence[Any], axis: int = 0) -> Shadow:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.empty(tuple(shape), np.result_type(*(part.dtype for part in parts)))

    def stack(self, parts: Sequence[Any], axis: int = 0) -> Shadow:
        shape = list(parts[0].shape)
        shape.insert(axis % (len(shape) + 1), len(parts))
        return self.empty(tuple(shape), np.result_type(*(part.dtype for part in parts)))

    def where(self, mask: Any, a: Any, b: Any) -> Shadow:
        shape = _together(*(np.shape(_meta(x)) for x in (mask, a, b)))
        like = next((m for m in map(_meta, (mask, a, b)) if m.shape == shape), None)
        kind = np.result_type(*(x if isinstance(x, float | int) else _meta(x).dtype for x in (a, b)))
        return Shadow.fresh(self.ledger, shape, kind, like=like)

    def clip(self, x: Any, least: Any, most: Any) -> Any:
        return np.minimum(np.maximum(x, least), most) if np.ndim(_meta(least)) or np.ndim(_meta(most)) else np.abs(x)

    def einsum(self, spec: str, *parts: Any) -> Shadow:
        inputs, out = spec.split("->")
        sizes: dict[str, int] = {}
        for letters, part in zip(inputs.split(","), parts, strict=True):
            sizes |= zip(letters, part.shape, strict=True)
        _product = None if self.ledger.reuses else self.empty(tuple(sizes.values()), parts[0].dtype)
        return self.empty(tuple(sizes[i] for i in out), np.result_type(*(_meta(part).dtype for part in parts)))

    def solve(self, matrix: Any, right: Any) -> Shadow:
        kind = np.result_type(matrix.dtype, right.dtype)
        if self.ledger.reuses and kind == np.float32:  # NumPy solves in float64
            _cast = [self.empty(shape) for shape in (matrix.shape, right.shape, right.shape)]
            del _cast
        return self.empty(right.shape, kind)

    def max(self, x: Any) -> float:
        return 1.0  # of parameters that the engine divides by

    def shape(self, x: Any) -> tuple[int, ...]:
        return np.shape(_meta(x))

    def ndim(self, x: Any) -> int:
        return np.ndim(_meta(x))


HANDED = {
    np.broadcast_to: "broadcast_to", np.concatenate: "concatenate", np.stack: "stack", np.where: "where",
    np.clip: "clip", np.einsum: "einsum", np.linalg.solve: "solve", np.shape: "shape", np.ndim: "ndim", np.max: "max",
    np.empty_like: "empty_like",
}  # fmt: skip


# --- a backend of them ------------------------------------------------------------------------------------
