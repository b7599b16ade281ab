"""Matrix products on a GPU by precision and rows: seconds, errors, and whether few rows are multiplied as many are.

    python benchmarks/products.py

float32, tf32, and tf32x3: three TF32 products of the factors' parts, however few the rows (`circuits/threefold.py`; a
run takes them from `FEW` on). rms error: of the first 64 rows, as a share of the product's rms. Factors that are
rounded to nearest make one of 2.9e-4 in tf32, such as are cut off 7.7e-4. unlike few: rms difference of the first 128
rows from the product of these alone, as operating points are found: where it is not 0, what relaxes rests elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from common import save, timed, waiting

from dsmachine.circuits.arrays import matmul
from dsmachine.circuits.cublas import TF32, THREEFOLD

Array = Any
SHAPES = ((768, 3072), (3072, 768), (4096, 4096), (4096, 11008), (11008, 4096))
ROWS = (128, 256, 512, 1024, 2304, 16384)
MODES = {"float32": (False, 0), "tf32": (True, 0), "tf32x3": (False, 1)}
CALLS = 10  # of a measurement


@contextmanager
def multiplying(rounded: bool, apart: int) -> Iterator[None]:
    tokens = TF32.set(rounded), THREEFOLD.set(apart)
    try:
        yield
    finally:
        TF32.reset(tokens[0])
        THREEFOLD.reset(tokens[1])


def rms(x: Array) -> float:
    return float((x.astype(float) ** 2).mean()) ** 0.5


def measured(xp: Any, a: Array, w: Array, known: Array, wait: Any) -> tuple[float, float, float]:
    """(seconds of a product, its error, how unlike that of few rows it is)."""

    def multiply() -> Array:
        for _ in range(CALLS):
            found = matmul(a, w.T)
        wait()
        return found

    multiply()
    seconds, found = timed(multiply, 5)
    few = matmul(xp.ascontiguousarray(a[:128]), w.T)
    return seconds / CALLS, rms(found[:64] - known) / rms(known), rms(found[:128] - few) / rms(few)


def main() -> None:
    import cupy

    table, rng, wait = [], cupy.random.default_rng(0), waiting("cupy")
    for length, columns in SHAPES:
        w = rng.standard_normal((columns, length), dtype=np.float32)
        for rows in ROWS:
            a = rng.standard_normal((rows, length), dtype=np.float32)
            known = a[:64].astype(float) @ w.T.astype(float)
            for mode, how in MODES.items():
                with multiplying(*how):
                    seconds, error, unlike = measured(cupy, a, w, known, wait)
                rate = 2.0 * rows * length * columns / seconds / 1e12
                about = {"length": length, "columns": columns, "rows": rows, "precision": mode}
                table.append(about | {"us": 1e6 * seconds, "TFLOP/s": rate, "rms error": error, "unlike few": unlike})
                print(table[-1], flush=True)
    save("products", table)


if __name__ == "__main__":
    main()
