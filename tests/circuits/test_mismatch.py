"""The random numbers that make a chip."""

import numpy as np
import pytest
from scipy import stats

import dsmachine as ds
from dsmachine.circuits.cells.mismatch import Draw, Spread, philox

# philox4x32-10 of Random123's kat_vectors: counter, key, result
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_published_answers(counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]) -> None:
    assert philox(np.array([counter], np.uint32), key).tolist() == [list(words)]


def test_a_64_bit_counter_is_the_low_half() -> None:
    counters = np.array([0, 1, 2**32, 2**63 + 5], np.uint64)
    words = np.stack([counters & 0xFFFFFFFF, counters >> np.uint64(32), 0 * counters, 0 * counters], axis=1)
    assert (philox(counters, (7, 9)) == philox(words, (7, 9))).all()


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_draws_are_standard_normal(seed: int) -> None:
    """Moments within four standard errors, Kolmogorov-Smirnov, and no correlation between neighbours."""
    count = 200_000
    z = Draw(seed)("h.0.mlp.c_fc", "beta", (count,))
    assert abs(z.mean()) < 4 / np.sqrt(count)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / count)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for lag in (1, 2, 4):
        assert abs(np.mean(z[lag:] * z[:-lag])) < 4 / np.sqrt(count)
    assert 4 < np.abs(z).max() < 6.5


def test_arrays_kinds_and_seeds_are_independent() -> None:
    draws = [Draw(s)(a, k, (50_000,)) for s, a, k in ((0, "a", "x"), (0, "b", "x"), (0, "a", "y"), (1, "a", "x"))]
    correlation = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(50_000)


def test_an_elements_number_does_not_depend_on_how_many_are_drawn() -> None:
    draw = Draw(5)
    assert (draw("a", "x", (3, 7)).reshape(-1) == draw("a", "x", (1000,))[:21]).all()


@pytest.mark.parametrize("value", [-0.1, 1.0, 5, 12.0, float("nan")])
def test_a_spread_is_a_standard_deviation(value: float) -> None:
    for name in ("mismatch", "vt_mismatch", "offset", "branch_offset", "write_verify", "auto_zero"):
        with pytest.raises(ds.Error, match=f"{name} is .*: it is a standard deviation"):
            Spread(**{name: value})
