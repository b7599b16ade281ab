"""No number of a technology file is idle: each changes something that is reported, solved or written, or is listed."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_cards import square_pair
from small_models import PROMPT, write_small

from dsmachine.circuits.adjoint import adjoint
from dsmachine.circuits.calibration import fit_to_devices
from dsmachine.circuits.cells.hold import HOLDS, leakage
from dsmachine.circuits.checkpoints import Model, load_model
from dsmachine.circuits.chip import fabricate, flicker_areas, flickered, pelgrom_areas
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.models import load_models
from dsmachine.circuits.loads import load_nodes
from dsmachine.circuits.mapping.activation import map_relu
from dsmachine.circuits.mapping.builder import Builder
from dsmachine.circuits.mapping.model import calibrate, map_model
from dsmachine.circuits.technology import Technology, load_technology
from dsmachine.circuits.technology_parts import INFORMATION, UNITS
from dsmachine.emulator.run import transient
from dsmachine.energy.inventory import inventory
from dsmachine.energy.machine import load_machine
from dsmachine.energy.meter import EnergyMeter
from dsmachine.energy.packing import room_of
from dsmachine.energy.weight_update import by_capacitors
from dsmachine.netlists.characterize import Bench
from dsmachine.netlists.writer import write_netlist

TOML = Path(__file__).resolve().parents[2] / "circuits" / "technologies" / "cmos45.toml"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(str(write_small(tmp_path_factory.mktemp("model"))))


def numbers(model: Model, technology: Technology) -> Iterator[Any]:
    """What a user reads of a mapped model, and of what it lacks, rectifiers and a coupling beyond the device: circuit,
    area, netlist, joules; what is found soon comes first."""
    tokens = model.encode(PROMPT)
    yield [leakage(technology, hold) for hold in HOLDS]
    yield room_of(load_machine("wafer"), technology)
    yield load_nodes(wide_row(), technology).arrays["v"].capacitance
    learning = pairs(technology)
    yield by_capacitors(learning, adjoint(learning), technology, rate=0.1, batch=1)
    yield transistor(technology)
    ranges = _ranges(model, len(tokens))
    resistance = technology.conveyor.input_resistance
    mapped = map_model(
        model, len(tokens), technology=technology, ranges=ranges, input_resistance=resistance, leakage=True
    )
    relu = Circuit("relu", temperature=technology.temperature)
    b = Builder(relu, technology, ranges, len(tokens))
    b.nodes("h.0.mlp.pre", (len(tokens), 32), clamped=True)
    strong = b.nodes("strong", (len(tokens), 1), spread=np.ones((len(tokens), 1)))
    b.dense("sum", map_relu(b, "h.0.mlp", "h.0.mlp.pre", 32), strong, np.full((1, 32), 9.0))
    relu, fit = fit_to_devices(relu, technology)
    yield str(fit)
    parts = (
        (mapped, {"embed": model.embed(tokens)}), (relu, {"h.0.mlp.pre": np.ones((4, 32))}),
        (pairs(technology), {"u": [0.1, 0.2]}),
    )  # fmt: skip
    for circuit, inputs in parts:
        yield inventory(circuit, technology)
        x = {name: np.full((1, *node.shape), 0.1) for name, node in circuit.arrays.items()}
        noise = [float(np.mean(term.noise(circuit)(x))) for term in circuit.terms.values()]
        noise += [float(np.mean(node.noise_conductance(1.0, 1e-4))) for node in circuit.arrays.values()]
        yield noise
        yield write_netlist(circuit, inputs=inputs, duration=3e-9).text
        meter = EnergyMeter(technology, dac_bits=6, adc_bits=10)
        transient(circuit, inputs, duration=3e-9, settle_bits=0, tolerance=1e-2, observers=[meter])
        report = meter.report()
        yield report.to_json()
        yield str(report)


def transistor(technology: Technology) -> list[Any]:
    """What a simulator is asked of a coupling's transistor, and its spread."""
    size, supply = technology.coupling, technology.supply
    bench = Bench(load_models(), size.width, size.length, technology.temperature, supply.common_mode)
    flicker = flicker_areas(technology, True, square_pair())
    offset = flickered(pairs(technology), **flicker).circuit.arrays["v"].offset
    spread = pelgrom_areas(technology, True, square_pair())
    spread["threshold_gradient"] += 1e-6  # whose direction is a number too
    chip = fabricate(pairs(technology), **spread).circuit
    found = chip.terms["w"].siemens(chip).tolist()  # type: ignore[attr-defined]
    asked = bench.netlist(np.arange(4.0), np.arange(-2.0, 3.0))
    sigmas = technology.mismatch.of(size.width * size.length)
    return [asked, sigmas, found, flicker["flicker"], np.asarray(offset).tolist()]


def pairs(technology: Technology) -> Circuit:
    """A row of pairs of transistors."""
    circuit = Circuit("pairs", temperature=technology.temperature)
    circuit.clamp("u", (2,))
    circuit.nodes("v", (1,))
    circuit.couple("w", "u", "v", [[0.5, 0.2]], device_card=square_pair())
    circuit.output = "v"
    return circuit


def wide_row() -> Circuit:
    """A node that drives 3,000 couplings."""
    circuit = Circuit("wide")
    circuit.nodes("v", (1,))
    circuit.nodes("w", (3000,))
    circuit.couple("row", "v", "w", np.ones((3000, 1)))
    return circuit


@cache
def _ranges(model: Model, positions: int) -> Any:
    return calibrate(model, positions)


def edited(key: str, folder: Path) -> Technology:
    """The bundled technology with one number of its file halved, a 0 made 1, at another temperature and supply."""
    section, _, name = key.rpartition(".")
    text = TOML.read_text(encoding="utf-8")
    start = text.index(f"[{section}]") if section else 0
    head, tail = text[:start], text[start:]
    factor = 0.99 if key == "temperature" else 0.5
    number = re.compile(rf"(?m)^({name} = {{ value = )([0-9.e]+)")
    assert number.search(tail), key
    path = folder / "edited.toml"
    path.write_text(
        head + number.sub(lambda m: m[1] + repr(factor * float(m[2]) or 1.0), tail, count=1), encoding="utf-8"
    )
    return load_technology(path, temperature=None if key == "temperature" else 310.0, vdd=1.1)


def test_every_number_does_something_or_is_listed(model: Model, tmp_path: Path) -> None:
    base = list(numbers(model, load_technology(TOML, temperature=310.0, vdd=1.1)))

    def same(technology: Technology) -> bool:
        return all(a == b for a, b in zip(numbers(model, technology), base, strict=True))

    assert same(load_technology(TOML, temperature=310.0, vdd=1.1))
    idle = [k for k in UNITS if k != "temperature" and same(edited(k, tmp_path))]
    assert idle == list(INFORMATION)
    assert list(numbers(model, edited("temperature", tmp_path))) != list(numbers(model, load_technology(TOML, vdd=1.1)))
