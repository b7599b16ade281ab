"""Static imperfections of a chip: how large (Spread), and where the numbers come from (Draw).

Draws are counter-based: Philox4x32-10 (Salmon et al. 2011) keyed by the chip's seed and the array's name, counted by
the element's index. An element's number therefore does not depend on tile, batch, order or machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import checks
from ..errors import Error
from ..rows import by_rows

Array = Any
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
OF_TRANSISTORS = ("threshold_area", "beta_area", "threshold_gradient", "beta_gradient")
MEANING = dict.fromkeys(
    ("mismatch", "vt_mismatch", "offset", "write_verify", "auto_zero"),
    "it is a standard deviation of 0 or more, below 1 (0.02 means 2 %)",
)
MEANING["branch_offset"] = "it is a standard deviation in volts, 0 … 1 (0.01 means 10 mV)"
MEANING["threshold_area"] = "it is Pelgrom's A_Vt in volts times metres, 0 … 1e-6 (3.5e-9 means 3.5 mV·µm)"
MEANING["beta_area"] = "it is Pelgrom's A_β in metres, 0 … 1e-5 (1.5e-8 means 1.5 %·µm)"
MEANING["threshold_gradient"] = "it is volts of threshold from a coupling to the next, 0 … 1 (1e-6: 1 µV)"
MEANING["beta_gradient"] = "it is a share of the current from a coupling to the next, 0 … 1 (1e-5: 10 ppm)"
MOST = {"threshold_area": 1e-6, "beta_area": 1e-5}  # all others stay below 1: 5 is somebody's 5 %


@dataclass(frozen=True)
class Spread:
    """Standard deviations, all 0 by default.

    mismatch: relative, of conductances and gains (β); vt_mismatch: additive, share of the row's largest |G|;
    offset: of nodes and tanh pairs, share of full scale; branch_offset: of the softmax's branches, volts.
    threshold_area A_Vt [V·m], beta_area A_β [m]: Pelgrom's coefficients of transistors, whose spread is that over
    √(W L); threshold_gradient Γ_Vt [V] and beta_gradient Γ_β: what either rises by from one coupling of an array to the
    next in the direction gradient_angle [rad], 0 along a row, π/2 along a column.
    write_verify: the relative σ of conductance to which transistors' gates are trimmed, None: they are not; auto_zero:
    the share of full scale to which inputs of unequal tanh pairs are brought, None: they are not.
    """

    mismatch: float = 0.0
    vt_mismatch: float = 0.0
    offset: float = 0.0
    branch_offset: float = 0.0
    threshold_area: float = 0.0
    beta_area: float = 0.0
    threshold_gradient: float = 0.0
    beta_gradient: float = 0.0
    gradient_angle: float = 0.0
    write_verify: float | None = None
    auto_zero: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            if name == "gradient_angle":
                checks.number(name, value, "it is a direction in radians, 0 along a row, 1.5708 along a column")
                continue
            check_spread(name, name, value)

    @property
    def of_transistors(self) -> bool:
        """Whether transistors differ one by one."""
        return any(getattr(self, name) for name in OF_TRANSISTORS)


def check_spread(what: str, name: str, value: float) -> None:
    """Raises Error for what is no value of this spread. what: it is called in the message."""
    if checks.number(what, value, MEANING[name], least=0) >= MOST.get(name, 1):
        raise Error(f"{what} is {value!r}: {MEANING[name]}")


def philox(counter: Array, key: tuple[int, int]) -> Array:
    """Philox4x32-10: uint32 (n, 4) of counters under a key of two 32-bit words.

    counter: 64-bit (n,), the low half of the generator's counter; or all its words, uint32 (n, 4).
    """
    index = np.asarray(counter, np.uint64)
    c = np.zeros((4, len(index)), np.uint64)
    if index.ndim == 2:
        c[:] = index.T
    else:
        c[0], c[1] = index & LOW, index >> np.uint64(32)
    first, second = np.empty_like(c[0]), np.empty_like(c[0])  # made once: new ones in each round cost a sixth more
    k0, k1 = key
    for _ in range(10):
        np.multiply(c[0], np.uint64(MULTIPLIERS[0]), out=first)
        np.multiply(c[2], np.uint64(MULTIPLIERS[1]), out=second)
        for product, word, low, k in ((second, c[0], c[1], k0), (first, c[2], c[3], k1)):
            np.right_shift(product, np.uint64(32), out=word)
            word ^= low
            word ^= np.uint64(k)
            np.bitwise_and(product, LOW, out=low)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c.T.astype(np.uint32, order="C")


@dataclass(frozen=True)
class Draw:
    """Standard normal numbers of one chip. Seed 0 is an ordinary seed. made: cells of it that others ask for too."""

    seed: int
    made: dict[int, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    def once(self, cell: Any, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of a cell, the same to all that ask: the cell itself, and what drives its inside."""
        if id(cell) not in self.made:
            self.made[id(cell)] = cell, make(cell)
        return self.made[id(cell)][1]

    def __call__(self, array: str, kind: str, shape: tuple[int, ...]) -> Array:
        """Normals (shape) of one array's devices; kind tells several draws of an array apart. Box-Muller."""
        count = int(np.prod(shape))
        key = ((self.seed ^ zlib.crc32(kind.encode())) & 0xFFFFFFFF, zlib.crc32(array.encode()) ^ (self.seed >> 32))
        normal = np.empty(((count + 3) // 4, 4))

        def draw(rows: slice) -> None:
            uniform = philox(np.arange(rows.start, rows.stop), key).astype(np.float64)
            uniform += 0.5
            uniform *= 2.0**-32
            radius, angle = np.log(uniform[:, 0::2]), uniform[:, 1::2]
            radius *= -2
            np.sqrt(radius, out=radius)
            angle *= 2 * np.pi
            for half, wave in enumerate((np.cos, np.sin)):
                np.multiply(radius, wave(angle), out=normal[rows, half::2])

        by_rows(draw, normal.shape)
        return normal.reshape(-1)[:count].reshape(shape)
