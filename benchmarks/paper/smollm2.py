"""Table 1's rows for SmolLM2: labels of snippets that the pretrained model says, digitally and by its circuit at rest.

It is asked as it is, by a prompt, without fine-tuning; the class is the likelier of two words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.reference import forward
from dsmachine.emulator.prepare import prepare

from .bench import Bench, Found, Sizes, percent, rounded
from .data import rated

SIZES = Sizes(positions=32, batch=1, steps=0, held_out=32, seeds=1)
PROMPT, WORDS = "\nThis film is", (" bad", " good")


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("smollm2")
    found = runs.run({"prompt": PROMPT}, sizes, lambda: asked(bench, sizes))
    about: Found = {"model": "smollm2, not fine-tuned", "snippets": sizes.held_out, "positions": sizes.positions}
    runs.write([
        about | {"system": "original", "accuracy, %": percent([found["digital"]]), "the original's label, %": "–"},
        about | {"system": "DS, ideal chip", "accuracy, %": percent([found["circuit"]]),
                 "the original's label, %": percent([found["same"]])},
        about | {"system": "DS-ECL", "snippets": 0, "accuracy, %": "not run: training it wants a GPU",
                 "the original's label, %": "–"},
    ])  # fmt: skip


def asked(bench: Bench, sizes: Sizes) -> Found:
    """Shares of labels told right by either, and told alike; farthest: the largest |difference| of the two words'
    log-odds [nat]."""
    model: Any = ds.load_model("smollm2")
    words, end = [model.tokenize(word)[0] for word in WORDS], model.tokenize(PROMPT)
    room = sizes.positions - len(end)
    samples = [([*model.tokenize(text)[:room], *end], label) for text, label in rated(bench)[: sizes.held_out]]
    circuit = ds.map_model(model, sizes.positions, precision="float32")
    plan = prepare(circuit, precision="float32", device=bench.device)
    odds: dict[str, list[float]] = {"digital": [], "circuit": []}
    for ids, _ in samples:
        padded = np.pad(ids, (0, sizes.positions - len(ids)), mode="edge")
        rest = ds.operating_point(plan, {"embed": model.embed(padded)}).logical("logits")[0]
        for way, logits in (("digital", forward(model, ids, dtype=np.float32)["logits"]), ("circuit", rest)):
            bad, good = logits[len(ids) - 1][words]
            odds[way].append(float(good - bad))
    good = np.array([label for _, label in samples]) == 1
    said = {way: np.array(each) > 0 for way, each in odds.items()}
    found = {way: float((each == good).mean()) for way, each in said.items()}
    same = float((said["digital"] == said["circuit"]).mean())
    farthest = float(np.abs(np.subtract(odds["digital"], odds["circuit"])).max())
    return {name: rounded(value) for name, value in (found | {"same": same, "farthest": farthest}).items()}
