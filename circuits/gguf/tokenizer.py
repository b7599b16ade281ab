"""The tokenizer in a GGUF header: byte-level BPE, its tokens, its merges, and how text is split before."""

from __future__ import annotations

from typing import Any

from ..errors import Error, place
from ..metadata import Metadata
from ..tokens import checked

CONTROL, USER = 3, 4  # token types that stand for themselves, whatever is around them
SPLITS = ("smollm",)
FIX = "use a model whose tokenizer is byte-level BPE, such as SmolLM2, or its Hugging Face folder"


def read_tokenizer(metadata: Metadata, vocabulary: int) -> Any:
    """The `tokenizers.Tokenizer` of a header; `Error` for what is missing or of another kind."""
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2":
        raise metadata.wrong("tokenizer.ggml.model", kind, FIX, "is unsupported")
    if split not in SPLITS:
        raise metadata.wrong("tokenizer.ggml.pre", split, FIX, "is unsupported")
    words = _words(metadata, "tokenizer.ggml.tokens")
    if len(words) != vocabulary or len(set(words)) != len(words):
        raise Error(
            f"{place(metadata.path)} has {len(set(words))} different tokens of {len(words)}, "
            f"the model a vocabulary of {vocabulary}: convert the model again"
        )
    merges = [_merge(metadata, text) for text in _words(metadata, "tokenizer.ggml.merges")]
    types = metadata.get("tokenizer.ggml.token_type") or []
    return checked(metadata.path, lambda: _build(words, merges, types), vocabulary)


def _build(words: list[str], merges: list[tuple[str, str]], types: list[Any]) -> Any:
    """SmolLM2's: each digit a piece of its own, then GPT-2's pieces in bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    of = dict(zip(words, types, strict=False))
    tokenizer.add_special_tokens([AddedToken(w, special=True) for w in words if of.get(w) == CONTROL])
    tokenizer.add_tokens([AddedToken(w, normalized=False) for w in words if of.get(w) == USER])
    return tokenizer


def _words(metadata: Metadata, key: str) -> list[str]:
    found = metadata.get(key)
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise metadata.wrong(key, found, "it must be a list of strings; convert the model again")
    return found


def _merge(metadata: Metadata, text: str) -> tuple[str, str]:
    left, _, right = text.partition(" ")
    if not left or not right or " " in right:
        raise metadata.wrong("tokenizer.ggml.merges", text, "each merge must be two parts; convert the model again")
    return left, right
