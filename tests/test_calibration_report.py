"""Calibration report: circuits whose range use, noise and devices are known in closed form, and a mapped model."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from small_models import write_small

import dsmachine as ds
from dsmachine.circuits.calibration import MARGIN
from dsmachine.circuits.cells import Feedback, Product
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.circuits.technology import load_technology
from dsmachine.range_report import CalibrationReport, other_windows, report_on

TECH = load_technology("cmos45")
G, C, RAIL, FULL = 32.26e-6, 49e-15, 0.5, 1 / 3
LINEAR = 0.9 * RAIL


def lag(volts: list[list[float]]) -> CalibrationReport:
    """y = u, in volts; one row a window."""
    circuit = Circuit("lag")
    circuit.clamp("u", (len(volts[0]),))
    circuit.nodes("y", (len(volts[0]),), layer="h.0")
    circuit.couple("w", "u", "y", 1.0)
    return report_on(circuit, {"u": np.array(volts)}, TECH)


def test_range_use_is_the_largest_share_of_full_scale() -> None:
    found = lag([[0.1, -0.2, 0.05], [-0.3, 0.1, 0.05]])
    [use] = found.arrays
    assert (use.worst, use.median) == (pytest.approx(0.9), pytest.approx(0.6))
    assert (use.headroom_used, use.saturated, use.on_the_way) == (0.0, 0, 0)


def test_headroom_ends_where_the_rail_bends() -> None:
    [use] = lag([[0.4, 0.1]]).arrays
    assert use.headroom_used == pytest.approx((0.4 - FULL) / (LINEAR - FULL), rel=1e-5)
    [use] = lag([[LINEAR - 1e-4, LINEAR + 1e-4], [0.0, LINEAR + 1e-4]]).arrays
    assert use.headroom_used > 1 and use.saturated == 1


def test_quiet_nodes_are_below_ten_of_their_own_sigma() -> None:
    """A lag of one unit coupling has 2 kT/C: half from its feedback, half from the coupling."""
    sigma = math.sqrt(2 * BOLTZMANN * 300 / C)
    found = lag([[5 * sigma, 20 * sigma, 20 * sigma, 20 * sigma]])
    [use] = found.arrays
    assert use.quiet == 0.25
    assert use.noise_rms == pytest.approx(sigma / FULL, rel=0.15)
    # rms over windows, not the largest: 24 σ once in nine windows is 8 σ.
    assert lag([[24 * sigma]] + 8 * [[0.0]]).arrays[0].quiet == 1.0


def test_nodes_that_saturate_on_the_way_only() -> None:
    """y = 2u − 2z, z a copy of u 50 times slower: y is asked for 2u at first, and rests at 0."""
    circuit = Circuit("difference")
    circuit.clamp("u", (3,))
    circuit.nodes("z", (3,), capacitance=50 * C)
    circuit.nodes("y", (3,))
    circuit.couple("copy", "u", "z", 1.0)
    circuit.couple("plus", "u", "y", 2.0)
    circuit.couple("minus", "z", "y", -2.0)
    inputs = {"u": np.array([[0.3, 0.52 * LINEAR, -0.48 * LINEAR]])}
    uses = {u.name: u for u in report_on(circuit, inputs, TECH, noise=False).arrays}
    assert (uses["y"].on_the_way, uses["y"].saturated, uses["z"].on_the_way) == (2, 0, 0)
    assert uses["y"].quiet is None
    assert report_on(circuit, inputs, TECH, transient=False).arrays[0].on_the_way is None


@pytest.mark.parametrize("waits", [True, False])
def test_roots_and_divisions_on_the_way(waits: bool) -> None:
    """s = √a; d = a/s with γ = s: at first γ is its floor, 0.02, which lets 0.02·0.9·rail through and no more."""
    circuit = Circuit("division")
    circuit.clamp("a", (1,))
    circuit.nodes("s", (1,), feedback=Feedback("s"))
    circuit.nodes("d", (1,), feedback=Feedback("s"))
    circuit.couple("into s", "a", "s", 1.0)
    circuit.couple("into d", "a", "d", 1.0)
    drive = 0.04 if waits else 0.008
    uses = {u.name: u for u in report_on(circuit, {"a": np.array([[drive]])}, TECH, noise=False).arrays}
    assert (uses["s"].on_the_way, uses["d"].on_the_way) == (0, int(waits))
    assert (uses["s"].saturated, uses["d"].saturated) == (0, 0)


def test_devices_of_products_and_couplings() -> None:
    """G = g U_t |κ| x_a / U_b of each device, and g |w| U_t / U_s: largest, not summed; of what exists."""
    circuit = Circuit("devices")
    circuit.clamp("a", (2, 3), unit=0.1)
    circuit.clamp("b", (2, 3), unit=np.array([0.2, 0.25, 0.4]))
    circuit.nodes("p", (2,), unit=0.05)
    circuit.nodes("y", (2, 2), unit=0.05, exists=np.array([[True, False], [True, False]]))
    circuit.multiply("K", "a", "b", "p", "id,id->i", gain=1.5)
    circuit.couple("w", "a", "y", np.array([[1.0, -3.0, 0.5], [9.0, 9.0, 9.0]]))
    inputs = {"a": np.ones((1, 2, 3)), "b": np.ones((1, 2, 3))}
    found = report_on(circuit, inputs, TECH, noise=False, transient=False)
    product, coupling = found.strongest("product"), found.strongest("coupling")
    assert product is not None and coupling is not None
    assert (product.term, product.of_node) == ("K", pytest.approx(0.05 * 1.5 * (FULL / 0.1) / 0.2))
    assert (coupling.term, coupling.of_node) == ("w", pytest.approx(3 * 0.05 / 0.1))
    assert product.of_largest == pytest.approx(product.siemens / TECH.coupling.g_max)
    assert product.siemens == pytest.approx(product.of_node * G)


@pytest.mark.parametrize("together", [1, 50, 1 << 20])
def test_every_product_of_a_model_pair_by_pair(
    together: int, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(sys.modules[Product.__module__], "TOGETHER", together)
    circuit = ds.map_model(write_small(tmp_path_factory.mktemp("models") / "small"), 4)
    for term in circuit.terms.values():
        if isinstance(term, Product):
            inputs, out = term.spec.split("->")
            of_a, of_b = inputs.split(",")
            node, here = circuit.arrays[term.target], {v.array: circuit.arrays[v.array].present for v in term.sources}
            a = term.a.of((circuit.full_scale(term.a.array) * here[term.a.array])[None])[0]
            b = term.b.of((here[term.b.array] / circuit.units(term.b.array))[None])[0]
            sizes = dict(zip(of_a + of_b, a.shape + b.shape, strict=True))
            t = G * circuit.units(term.target) * np.abs(term.gain) * node.present
            every = "".join(sizes)
            each = np.einsum(f"{of_a},{of_b},{out}->{every}", a, b, t.reshape([sizes[i] for i in out]))
            assert term.strongest(circuit) == pytest.approx(float(each.max())), term.name


@pytest.fixture(scope="module")
def bundled() -> Any:
    return ds.calibration_report("tiny-shakespeare", 8, windows=6)


def test_the_bundled_model_fits_its_volts(bundled: CalibrationReport) -> None:
    total = bundled.all
    assert bundled.unseen and (bundled.windows, bundled.positions) == (6, 8)
    assert total.saturated == 0 and total.on_the_way
    assert 0.2 < total.median < 0.6 and 0.7 < total.worst < 1.1
    assert total.nodes == sum(u.nodes for u in bundled.arrays)
    assert total.noise_rms is not None and 0.003 < total.noise_rms < 0.02
    assert bundled.most_lost().name == "h.0.mlp.act"
    assert bundled.score is not None and bundled.score["calibrated"] < bundled.score["reach"]
    device = bundled.strongest("coupling")
    assert device is not None and device.of_largest <= 1 + 1e-9


def test_what_set_the_ranges_uses_its_share_of_them() -> None:
    """Calibration's largest values are 1/MARGIN of full scale where nothing else bounds a range."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, 8)
    ids = np.asarray(model.tokenize(model.calibration_text))
    starts = np.linspace(0, len(ids) - 8, len(ids) // 8).astype(int)
    rows = {"embed": model.embed(ids[starts[:, None] + np.arange(8)])}
    found = report_on(circuit, rows, TECH, noise=False, transient=False)
    worst = {u.name: u.worst for u in found.arrays}
    assert worst["h.1.resid"] == pytest.approx(1 / MARGIN, abs=1e-3)
    assert worst["logits"] == pytest.approx(1 / MARGIN, abs=1e-3)


def test_grouped_by_kind_and_layer(bundled: CalibrationReport) -> None:
    kinds, layers = {u.name: u for u in bundled.by_kind()}, {u.name: u for u in bundled.by_layer()}
    assert kinds["mlp.act"].arrays == 3 and kinds["logits"].arrays == 1
    assert list(layers) == ["h.0", "h.1", "h.2", "head"]
    assert sum(u.nodes for u in kinds.values()) == sum(u.nodes for u in layers.values()) == bundled.all.nodes
    assert kinds["mlp.act"].worst == max(u.worst for u in bundled.arrays if u.name.endswith("mlp.act"))


def test_it_prints_what_is_worst(bundled: CalibrationReport) -> None:
    said = repr(bundled)
    assert said.startswith("CalibrationReport of 'tiny-shakespeare', 8 positions on cmos45\n")
    for word in ("range use", "lost bits", "on the way", "10 σ", "nats", "coupling.g_max", "h.0.mlp.act"):
        assert word in said


def test_windows_lie_between_those_that_set_the_ranges() -> None:
    model = ds.load_model("tiny-shakespeare")
    rows, unseen = other_windows(model, 16, 5)
    assert rows.shape == (5, 16) and unseen
    text = model.tokenize(model.calibration_text)
    short = Model(model.name, model.config, model.tensors, model.decode(text[:20]), model.tokenizer)
    rows, unseen = other_windows(short, 16, 5)
    assert rows.shape == (5, 16) and not unseen
    assert other_windows(short, 64, 2)[0].shape == (2, 64)


def test_errors_of_the_report() -> None:
    with pytest.raises(ds.Error, match="windows"):
        ds.calibration_report("tiny-shakespeare", 8, windows=0)
    with pytest.raises(ds.Error, match="tokens 'serial' has no report"):
        ds.calibration_report("tiny-shakespeare", 8, tokens="serial")
    with pytest.raises(ds.Error, match="Σe falls to"):
        ds.calibration_report("tiny-shakespeare", 8, softmax="taylor")
