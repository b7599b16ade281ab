"""What a report tells of a run: tables, phases, what comes from the technology, silicon."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from energy_circuits import TAU, VDD, C, tile, weigh
from small_models import PROMPT, write_small

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.technology import Technology, load_technology
from dsmachine.circuits.units import engineering
from dsmachine.emulator.run import transient
from dsmachine.energy.account import driver_counts
from dsmachine.energy.inventory import inventory
from dsmachine.energy.meter import EnergyMeter, EnergyReport
from dsmachine.netlists.writer import write_netlist


def test_tables_add_up_and_print() -> None:
    circuit, _ = tile()
    circuit.output = "p"
    meter = EnergyMeter("cmos45")
    transient(circuit, {"u": np.ones((2, 3))}, duration=4 * TAU, observers=[meter])
    report = meter.report()
    assert report.tokens == 2 and report.per_token == pytest.approx(report.total / 2)
    for key in ("part", "layer", "phase"):
        assert sum(drawn for drawn, _ in report.by(key).values()) == pytest.approx(report.total)
        assert sum(heat for _, heat in report.by(key).values()) == pytest.approx(report.dissipated)
    converters = {e.phase: e.drawn for e in report.entries if e.part == "converters"}
    assert converters["load"] == pytest.approx(6 * 4e-12)
    assert converters["read"] == pytest.approx(3 * 13.3e-12)  # one of four nodes does not exist
    assert sum(row["drawn_j"] for row in report.rows()) == pytest.approx(report.total)
    assert report.to_json()["total"] == pytest.approx(float(report.total[0]))
    assert report.power == pytest.approx(report.by("phase")["anneal"][0] / report.duration)
    text = str(report)
    assert "drawn from the supply" in text and "refresh" in text and "not counted" in text


def test_a_circuit_by_hand_has_no_tokens() -> None:
    """One answer, or rows of an output; tokens are a model's, or what somebody says."""
    circuit, _ = tile()
    inputs = {"u": np.ones((2, 3))}
    report = weigh(circuit, inputs, 4 * TAU)
    assert (report.tokens, report.read, report.each) == (1, 0, "")
    assert report.to_json()["positions_read"] == 0
    for text in (str(report), repr(report)):
        assert "token" not in text and "model" not in text and "position" not in text
    assert "no outputs read, as the circuit names none (circuit.output)" in str(report)
    circuit.output = "p"
    meter = EnergyMeter(read="last")
    transient(circuit, inputs, duration=4 * TAU, observers=[meter])
    report = meter.report()
    assert (report.tokens, report.read, report.each) == (2, 1, "row")
    assert f"{engineering(float(report.total[0]) / 2, 'J')} a row (2)" in str(report)
    assert repr(report).endswith(" a row)") and "outputs of the last row read" in str(report)
    assert repr(meter.report(tokens=4)).endswith(f"{engineering(float(report.total[0]) / 4, 'J')} a token)")
    for tokens in (0, -1, 2.5):
        with pytest.raises(Error, match=f"tokens is {tokens}"):
            meter.report(tokens=tokens)  # type: ignore[arg-type]


def test_a_model_has_tokens(tmp_path: Path) -> None:
    circuit = map_model(load_model(write_small(tmp_path / "small")), 3)
    meter = EnergyMeter()
    transient(circuit, {"embed": np.full((3, 8), 0.1)}, duration=1e-9, observers=[meter])
    assert repr(meter.report()).endswith(" a token)") and "outputs of every position read" in str(meter.report())


def test_phases_have_their_seconds_and_joules() -> None:
    circuit, _ = tile()
    circuit.output = "p"
    report, tech = weigh(circuit, {"u": np.ones((2, 3))}, 4 * TAU), load_technology()
    want = {"reset": 7 * C / tech.device.on_conductance, "load": 1.667e-9, "anneal": 4 * TAU, "read": 1e-9}
    assert list(report.phases) == list(want) and report.phases == pytest.approx(want)
    assert report.latency == pytest.approx(sum(want.values()))
    drawn, heat = next((e.drawn, e.dissipated) for e in report.entries if (e.part, e.layer) == ("reset switches", "2"))
    assert drawn == pytest.approx(3 * 2.2e-15 * VDD**2) and heat < report.stored_after
    assert report.by("part")["reset switches"][1] == pytest.approx(report.stored_after)
    told = report.to_json()
    assert list(told["by_phase"]) == list(want)
    assert {name: cost["seconds"] for name, cost in told["by_phase"].items()} == pytest.approx(want)
    assert sum(cost["drawn"] for cost in told["by_phase"].values()) == pytest.approx(told["total"])
    assert "1.67 ns" in str(report) and "reset switches" in str(report)
    few = EnergyMeter(tech.changed({"converter.dac_count": 4, "converter.adc_count": 1}, "test"))
    transient(circuit, {"u": np.ones((2, 3))}, duration=4 * TAU, observers=[few])
    assert few.report().phases["load"] == pytest.approx(2 * 1.667e-9)
    assert few.report().phases["read"] == pytest.approx(3e-9)
    assert _kinds(told) <= {dict, list, str, float, int}


def test_stages_and_parts_can_be_tabulated() -> None:
    """Rows add up to the account; the anneal has a row for each basis; a part taken away takes its joules along."""
    circuit, _ = tile()
    circuit.output = "p"
    meter, tech = EnergyMeter(), load_technology()
    transient(circuit, {"u": np.ones((2, 3))}, duration=40 * TAU, observers=[meter])
    waits = {"oracle time": 20 * TAU, "timer time": 30 * TAU}
    report = meter.report(until=30 * TAU, basis="timer time", waits=waits)
    stages = [(row["stage"], row["basis"]) for row in report.stages()]
    assert stages == [("reset", ""), ("load", ""), ("anneal", "oracle time"), ("anneal", "timer time"), ("read", "")]
    seconds = sum(row["seconds"] for row in report.stages() if row["basis"] != "oracle time")
    assert seconds == pytest.approx(report.latency) and report.to_json()["stages"] == report.stages()
    assert [row["basis"] for row in meter.report().stages()] == ["", "", "end of the run", ""]
    bare, refresh = report.without("refresh"), report.by("part")["refresh"][0]
    assert bare.total == pytest.approx(report.total - refresh) and "refresh" not in bare.by("part")
    assert bare.dissipated == pytest.approx(report.dissipated) and bare.latency == report.latency
    assert report.to_json()["without_refresh"] == pytest.approx(float(bare.total[0]))
    assert report.programming_time == pytest.approx(tech.converter.dac_time)  # 24 weights, 64 DACs
    few = EnergyMeter(tech.changed({"converter.dac_count": 5}, "test"))
    transient(circuit, {"u": np.ones((2, 3))}, duration=TAU, observers=[few])
    assert few.report().programming_time == pytest.approx(5 * tech.converter.dac_time)


def _kinds(value: Any) -> set[type]:
    """Types in a JSON-like tree."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*(_kinds(v) for v in inner))


def test_currents_and_leakage_come_from_the_technology() -> None:
    def drawn(technology: Technology) -> EnergyReport:
        meter = EnergyMeter(technology)
        circuit, _ = tile()
        transient(circuit, {"u": np.ones((2, 3))}, duration=4 * TAU, observers=[meter])
        return meter.report()

    tech = load_technology()
    base, leaky = drawn(tech), drawn(tech.changed({"switch.off_current": 2 * 69e-12}, "test"))
    assert leaky.by("part")["refresh"][0] == pytest.approx(2 * base.by("part")["refresh"][0])
    assert base.weights == 24 and base.programming == pytest.approx(24 * 4e-12)
    tight = drawn(tech.changed({"switch.off_current": 0.0}, "test"))
    assert tight.by("part")["refresh"][0] == 0


def test_only_the_checkpoints_tensors_are_programmed(tmp_path: Path) -> None:
    """Means, skips, halves and constants that the mapping makes are devices of a fixed size: nothing leaks there."""
    model = load_model(str(write_small(tmp_path)))
    p, t = 4, model.tensors
    circuit = map_model(model, p)
    folded = {"h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj"}
    for name, term in circuit.terms.items():
        tensor = name in folded or name in {"wte", "wte.bias"} or name.removesuffix(".bias") in folded
        assert bool(term.weights(circuit)) == tensor, name
    held = sum(term.weights(circuit) for term in circuit.terms.values())
    dense = sum(t[f"{name}.weight"].size + t[f"{name}.bias"].size for name in folded)
    assert held == p * (dense + t["wte.weight"].size + len(t["wte.weight"]))
    tokens = model.encode(PROMPT)
    text = write_netlist(circuit, select="h.0.attn", inputs={"embed": model.embed(tokens)}).text
    assert "* h.0.attn.c_attn (coupling): " in text
    text = write_netlist(circuit, select="h.0.ln_1", inputs={"embed": model.embed(tokens)}).text
    assert "* h.0.ln_1.diff.mean (coupling, fixed): " in text


# --- silicon ------------------------------------------------------------------------------------------


def test_silicon_counts_units() -> None:
    """Of two arrays, 8 and 3 nodes behind conveyors; of 2·2·4 pairs in products a quarter is masked."""
    circuit, _ = tile()
    tech = load_technology()
    assert driver_counts(circuit, tech) == {"u": 6, "a": 8}
    units = (8 + 3) * tech.node.area + 2 * 12 * tech.coupling.area + 12 * tech.product.area
    support = (8 + 3) * tech.conveyor.area + (6 + 8) * tech.buffer.area
    assert sum(piece.silicon for piece in inventory(circuit, tech)) == pytest.approx(units + support)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 J"), (4e-12, "4 pJ"), (1.5e-19, "0.15 aJ"), (12, "12 J"), (3.2e7, "32 MJ")]
)
def test_engineering(value: float, text: str) -> None:
    assert engineering(value, "J") == text
