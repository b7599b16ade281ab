"""What couplings of transistors cost beside linear ones; what a language model makes of them is in `pretrained/`.

    python benchmarks/transistors.py                        # crossbars, readers, and a run of tiny-shakespeare
    python benchmarks/transistors.py --device cupy --tokens 128 --samples 48 --cards pair.h5 quad.h5
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
READERS = [(576, (576, 192, 192)), (576, (1536, 1536))]  # queries, keys, values; gate and up


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


def readers(card: DeviceCard, device: str, tokens: int) -> list[dict[str, Any]]:
    """Seconds of a run of some arrays that read the same nodes, whose shapes they share: crossbars and nodes."""
    rows, rng = [], np.random.default_rng(0)
    elements = np.linspace(0, 20e-9, 9)[1:]
    for width, outs in READERS:
        found = []
        for own in (None, card):
            circuit = Circuit("readers")
            circuit.clamp("u", (tokens, width))
            for k, out in enumerate(outs):
                circuit.nodes(f"v{k}", (tokens, out), layer="one")
                circuit.couple(
                    f"w{k}", "u", f"v{k}", rng.normal(size=(out, width)) / np.sqrt(width) / 4, device_card=own
                )
            plan: Plan = ds.prepare(circuit, device=device)
            u = {"u": rng.uniform(-0.3, 0.3, (tokens, width))}
            go = partial(ds.transient, plan, u, elements=elements, settle_bits=0)
            taken = seconds_of(go, waiting(device), 7, 2)[0]
            found.append(taken.cpu if device == "numpy" else taken.wall)
        ratio = found[1] / found[0]
        name = f"{width} → {' + '.join(map(str, outs))}"
        rows.append(
            {"run of readers": name, "rank": card.rank, "linear_s": found[0], "transistors_s": found[1], "ratio": ratio}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="numpy")
    parser.add_argument("--samples", type=int, default=12, help="points x batch of a crossbar")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--cards", nargs=2, help="device cards of a pair and a quad, where there is no ngspice")
    options = parser.parse_args()
    pair, quad = map(ds.load_device, options.cards) if options.cards else map(ds.characterize, ("pair", "quad"))
    cards: dict[str, DeviceCard | None] = {"linear": None, "pair": pair, "quad": quad}
    rows = crossbars(pair, options.device, options.samples, options.tokens)
    save(f"transistors_cost_{options.device}", rows)
    save(f"transistors_readers_{options.device}", readers(pair, options.device, options.tokens))
    save(f"transistors_runs_{options.device}", runs(cards, options.device, options.tokens))


if __name__ == "__main__":
    main()
