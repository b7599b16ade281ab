"""Tensors of a GGUF file under the names, and in the order of rows, of a Hugging Face Llama checkpoint.

GGUF turns adjacent rows of a head's q and k together, (0, 1), (2, 3), …; Hugging Face turns row i with row i + dh/2.
Row r of a head, r = s·dh/2 + i with s = 0, 1, is GGUF's row 2i + s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..encodings import GGUF, Bytes, Encoding
from ..errors import Error, place, shown
from ..tensors import FIX, TensorSource
from .header import Entry, check_places, read_header

TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 8: "Q8_0", 12: "Q4_K", 14: "Q6_K"}
OTHER_TYPES = {6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 28: "F64", 30: "BF16"}
WHOLE = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}
PER_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TURNED = (".self_attn.q_proj.weight", ".self_attn.k_proj.weight")


class GgufFile(TensorSource):
    """The tensors of one file.

    Attributes:
        metadata: keys and values of the header.
        head_width: to be set once the sizes are known: rows of q and k are put in order by it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_width = 2  # two rows a head are in order already
        try:
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise Error(f"{place(path)} cannot be read ({shown(str(error))}): {FIX}") from None
        header = read_header(path, self._bytes)
        self.metadata, self._data = header.values, header.data
        self._entries: dict[str, Entry] = {}
        for stored, entry in header.entries.items():
            self._entries[_name(path, stored)] = entry
        check_places(path, {name: self._span(name) for name in self._entries}, len(self._bytes))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entries[name].shape

    def encoding(self, name: str) -> Encoding:
        number = self._entries[name].type
        if number not in TYPES:
            raise Error(
                f"tensor {shown(name)} in {place(self.path)} has the type {OTHER_TYPES.get(number, number)}: "
                f"convert the model to one of {', '.join(TYPES.values())}"
            )
        return GGUF[TYPES[number]]

    def raw(self, name: str) -> Bytes:
        begin, end = self._span(name)
        return self._bytes[begin:end]

    def _by_row(self, name: str) -> Bytes:
        rows = super()._by_row(name)
        return rows[halves(len(rows), self.head_width)] if name.endswith(TURNED) else rows

    def _span(self, name: str) -> tuple[int, int]:
        entry, encoding = self._entries[name], self.encoding(name)
        if entry.shape[-1] % encoding.values:
            raise Error(
                f"tensor {shown(name)} in {place(self.path)} has rows of {entry.shape[-1]} values, "
                f"no multiple of {encoding.values}, the block of {encoding.name}: {FIX}"
            )
        begin = self._data + entry.offset
        return begin, begin + math.prod(entry.shape) // encoding.values * encoding.size


def halves(rows: int, head_width: int) -> NDArray[np.intp]:
    """For every row in Hugging Face's order, where it is in GGUF's.

    >>> halves(8, 4).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return np.arange(rows).reshape(-1, head_width // 2, 2).swapaxes(1, 2).reshape(-1)


def _name(path: Path, stored: str) -> str:
    """The Hugging Face name; `Error` for a tensor that a Llama model without biases does not have."""
    found = re.fullmatch(r"(?:blk\.(0|[1-9][0-9]{0,5})\.)?([a-z_]+)\.weight", stored)
    known = PER_LAYER if found and found[1] is not None else WHOLE
    if found is None or found[2] not in known:
        raise Error(
            f"tensor {shown(stored)} in {place(path)} is unsupported: "
            "use a Llama-architecture model without biases, experts or long-context factors"
        )
    return f"layers.{found[1]}.{known[found[2]]}.weight" if found[1] is not None else f"{known[found[2]]}.weight"
