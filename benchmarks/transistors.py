"""Couplings of transistors: what they cost beside linear ones, and what a language model makes of them.

    python benchmarks/transistors.py cost                        # crossbars, and a run of tiny-shakespeare
    python benchmarks/transistors.py cost --device cupy
    python benchmarks/transistors.py perplexity --tokens 32      # swing, unit, mismatch and trim
    # pin the threads: OPENBLAS_NUM_THREADS=1

Transistors are those that ngspice measures of the bundled model cards. Seconds are of the processor (on a GPU of the
clock on the wall); `ratio` is to the linear coupling, `over` what is left of it when the rank is taken away.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
from common import save, seconds_of, waiting

import dsmachine as ds
from dsmachine.circuits.cells import coupling, of_transistors
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.plan import Plan

Array = Any
SIZES = [(64, 192), (256, 64), (576, 576), (576, 1536), (1536, 576), (4096, 4096)]
SWINGS = (0.5, 0.3, 0.2, 0.15, 0.1)
CHIPS: dict[str, dict[str, Any]] = {
    "ideal": {},
    "Pelgrom": {"threshold_area": 3.5e-9, "beta_area": 1.5e-8},
    "Pelgrom, written to 0.5 %": {
        "threshold_area": 3.5e-9,
        "beta_area": 1.5e-8,
        "trim": {"write-verify": 0.005},
    },
}


def crossbars(card: DeviceCard, device: str, samples: int, positions: int) -> list[dict[str, Any]]:
    """Seconds of one drive (K, P, in) -> (K, P, out), the first position at other volts."""
    rows = []
    backend, rng = Backend(device), np.random.default_rng(0)
    apart = np.where(np.arange(positions) == 0, 0.5, 1.0)[:, None]
    for width, out in SIZES:
        circuit = Circuit("crossbar")
        circuit.clamp("u", (positions, width), unit=apart)
        circuit.nodes("v", (positions, out), unit=apart)
        linear = coupling("w", "u", "v", rng.normal(size=(out, width)) / np.sqrt(width) / 4)
        with backend.arithmetic():
            x = {"u": backend.array(rng.uniform(-0.3, 0.3, (samples, positions, width)))}
            terms = [backend.place(linear), backend.place(of_transistors(linear, circuit, card))]
            found = [seconds_of(partial(term.drive, x), waiting(device), 21, 5)[0] for term in terms]
        one, other = (s.cpu if device == "numpy" else s.wall for s in found)
        ratio = other / one
        rows.append(
            {"crossbar": f"{width} → {out}", "rank": card.rank, "linear_us": one * 1e6, "transistors_us": other * 1e6}
            | {"ratio": ratio, "over": ratio - card.rank}
        )
    return rows


def runs(cards: dict[str, DeviceCard | None], device: str, tokens: int) -> list[dict[str, Any]]:
    """Seconds of tiny-shakespeare on the same elements, linear and of transistors."""
    model, rows = ds.load_model("tiny-shakespeare"), []
    inputs = {"embed": model.embed(model.tokenize(model.calibration_text)[:tokens])}
    elements = np.linspace(0, 150e-9, 61)[1:]
    for name, card in cards.items():
        plan: Plan = ds.prepare(ds.map_model(model, tokens, device_card=card), device=device)
        go = partial(ds.transient, plan, inputs, elements=elements, settle_bits=0)
        taken = seconds_of(go, waiting(device), 5, 2)[0]
        seconds = taken.cpu if device == "numpy" else taken.wall
        first = rows[0]["run_s"] if rows else seconds
        rank = 1 if card is None else card.rank
        rows.append({"run": name, "tokens": tokens, "rank": rank, "run_s": seconds, "ratio": seconds / first})
    return rows


def perplexities(windows: int, tokens: int) -> list[dict[str, Any]]:
    """Perplexity of windows of calibration text at the operating point; scores keep their reach at every swing."""
    model = ds.load_model("tiny-shakespeare")
    ids = np.asarray(model.tokenize(model.calibration_text))
    starts = np.linspace(tokens // 2, len(ids) - tokens - 1, windows).astype(int)
    text = ids[starts[:, None] + np.arange(tokens + 1)]
    inputs, rows = {"embed": model.embed(text[:, :-1])}, []
    for swing in SWINGS:
        numbers = {"supply.swing": swing}
        technology = ds.load_technology(overrides=numbers)
        for unit in ("linear", "pair", "quad"):
            card = None if unit == "linear" else ds.characterize(unit, overrides=numbers)
            circuit = ds.map_model(model, tokens, technology=technology, device_card=card)
            for name, chip in CHIPS.items() if card is not None else [("ideal", {})]:
                run = ds.operating_point(ds.fabricate(circuit, seed=0, **chip), inputs)
                rows.append(
                    {"swing_v": swing, "unit": unit, "rank": 1 if card is None else card.rank, "chip": name}
                    | {"perplexity": perplexity(run.logical("logits"), text[:, 1:])}
                    | {"saturated": sum(run.saturated.values())}
                )
    return rows


def perplexity(logits: Array, ids: Array) -> float:
    """exp of the mean of −ln p of what comes next; logits (windows, P, V), ids (windows, P)."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return float(np.exp(-np.take_along_axis(log_p, ids[..., None], -1).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("cost", "perplexity"))
    parser.add_argument("--device", default="numpy")
    parser.add_argument("--samples", type=int, default=12, help="points x batch of a crossbar")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--windows", type=int, default=16)
    options = parser.parse_args()
    if options.what == "perplexity":
        save("transistors_perplexity", perplexities(options.windows, options.tokens))
        return
    cards = {"linear": None, "pair": ds.characterize("pair"), "quad": ds.characterize("quad")}
    rows = crossbars(cards["pair"], options.device, options.samples, options.tokens)
    save(f"transistors_cost_{options.device}", rows)
    save(f"transistors_runs_{options.device}", runs(cards, options.device, options.tokens))


if __name__ == "__main__":
    main()
