"""Damage to the bytes of a file, as hypothesis draws it."""

from __future__ import annotations

from hypothesis import strategies as st


def mutations(insertions: list[bytes], reach: int) -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    """Where, how many bytes go, and what comes: near the beginning half of the time; sometimes the rest goes."""
    where = st.one_of(st.integers(0, reach), st.integers(0, 2**17))
    gone = st.one_of(st.integers(0, 16), st.just(2**30))
    new = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(insertions))
    return st.lists(st.tuples(where, gone, new), min_size=1, max_size=3)


def overwritten(data: bytes, changes: list[tuple[int, int, bytes]], keep_length: bool) -> bytes:
    """The bytes after the changes; `keep_length` puts each new piece over as many old bytes."""
    for where, gone, new in changes:
        at = where % (len(data) + 1)
        end = at + (len(new) if keep_length and gone < 2**30 else gone)
        data = data[:at] + new + data[end:]
    return data
