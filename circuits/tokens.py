"""Text to tokens and back, through a Hugging Face ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import checks
from .errors import Error, place, shown

Array = Any
MAX_TOKENIZER_BYTES = 64 * 2**20


def window_starts(length: int, width: int, count: int) -> Array:
    """Where `count` windows of `width` begin that are spread evenly over so many tokens, both ends included.

    >>> window_starts(10, 4, 3).tolist()
    [0, 3, 6]
    """
    return np.linspace(0, length - width, count).astype(int)


def load_tokenizer(path: Path, vocabulary: int) -> Any:
    """The `tokenizers.Tokenizer` in `path`, all of whose ids are below `vocabulary`.

    Raises `Error` when the file is missing, malformed, or does not belong to the model.
    """
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise Error(f"{place(path)} has {path.stat().st_size} bytes: at most {MAX_TOKENIZER_BYTES}")
        text = path.read_bytes()
    except FileNotFoundError:
        raise Error(
            f"{place(path)} is missing: save the tokenizer beside the model (tokenizer.save_pretrained(folder))"
        ) from None
    except OSError as error:
        raise Error(f"{place(path)} cannot be read: {error.strerror}") from None
    from tokenizers import Tokenizer

    return checked(path, lambda: Tokenizer.from_buffer(text), vocabulary)


def checked(path: Path, build: Callable[[], Any], vocabulary: int) -> Any:
    """The tokenizer that `build` makes of the file; `Error` when it fails or has other ids than the model."""
    try:
        tokenizer = build()
        ids = tokenizer.get_vocab(with_added_tokens=True).values()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the Rust side panics with a BaseException
        raise Error(f"{place(path)} is no tokenizer ({shown(str(error))}): save the tokenizer again") from None
    largest = max(ids, default=-1)
    if not 0 <= largest < vocabulary:
        raise Error(
            f"{place(path)} has tokens up to {largest}, the model a vocabulary of {vocabulary}: "
            "use the tokenizer that the model was trained with"
        )
    return tokenizer


def tokenize(tokenizer: Any, text: str, what: str = "prompt") -> list[int]:
    """Token ids of a text of any length; `Error` names the first character it has no token for."""
    if not checks.text(what, text):
        raise Error(f"{what} '' is empty: give at least one character")
    unknown = getattr(tokenizer.model, "unk_token", None)
    try:
        encoding = tokenizer.encode(text, add_special_tokens=False)
    except Exception:  # tokenizers raises plain exceptions
        raise _outside(tokenizer, text, what) from None
    lost = unknown is not None and unknown in encoding.tokens
    if lost or _dropped(text, encoding.offsets):
        raise _outside(tokenizer, text, what)
    return list(encoding.ids)


def _dropped(text: str, offsets: Sequence[tuple[int, int]]) -> bool:
    """Whether a character other than white space belongs to no token."""
    covered = bytearray(len(text))
    for begin, end in offsets:
        covered[begin:end] = b"\1" * (end - begin)
    return any(not c and not text[i].isspace() for i, c in enumerate(covered))


def _outside(tokenizer: Any, text: str, what: str) -> Error:
    """The error for a text that the tokenizer cannot represent."""
    tried: set[str] = set()
    for i, character in enumerate(text):
        if character not in tried and not knows(tokenizer, character):
            return Error(
                f"{what} has {shown(character)} (U+{ord(character):04X}) at character {i + 1}, "
                "which the model's tokenizer does not know: leave it out"
            )
        tried.add(character)
    return Error(f"{what} {shown(text)} has no tokens in the model's tokenizer: change it")


def knows(tokenizer: Any, character: str) -> bool:
    """Whether the tokenizer has a token for one character."""
    try:
        encoding = tokenizer.encode(character, add_special_tokens=False)
    except Exception:  # tokenizers raises plain exceptions
        return False
    unknown = getattr(tokenizer.model, "unk_token", None)
    return bool(encoding.ids) and (unknown is None or unknown not in encoding.tokens)


def takes(tokenizer: Any, text: str) -> bool:
    """Whether the tokenizer has tokens for a whole text."""
    try:
        return bool(tokenize(tokenizer, text))
    except Error:
        return False


def detokenize(tokenizer: Any, ids: Sequence[int], vocabulary: int) -> str:
    """The text of some tokens; `Error` for an id outside the vocabulary."""
    for token in ids:
        checks.whole("token", token, 0, vocabulary - 1, f"use 0 to {vocabulary - 1}, the vocabulary")
    return str(tokenizer.decode([int(token) for token in ids], skip_special_tokens=False))
