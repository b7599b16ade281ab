"""The study of a pretrained model, on the bundled one: perplexity at rest, kept rows, scalings, choice of devices."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.emulator.prepare import planned

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROMPT = "To be, or not to be: that is the question:"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """benchmarks/pretrained, with its results in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in [n for n in sys.modules if n == "common" or n.split(".")[0] == "pretrained"]:
        monkeypatch.delitem(sys.modules, name)
    import common  # type: ignore[import-not-found, unused-ignore]
    from pretrained import balance, bench, mismatch, scatter, settled  # type: ignore[import-not-found, unused-ignore]

    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(bench, "flattened", lambda play: PROMPT)
    bench.mismatch, bench.scatter, bench.settled, bench.balance = mismatch, scatter, settled, balance
    return bench


def test_the_ideal_machine_has_the_references_perplexity(study: Any) -> None:
    bench = study.Bench(24, "short", 2.0, name="tiny-shakespeare")
    expected = float(np.exp(_mean_surprise(bench.reference, bench.ids)))
    assert bench.score(bench.circuit()) == {"perplexity": pytest.approx(expected, rel=1e-5), "saturated": 0}
    again = study.Bench(24, "short", 2.0, name="tiny-shakespeare").ranges  # from the cache
    assert all(np.array_equal(again.values[name], value) for name, value in bench.ranges.values.items())


def _mean_surprise(logits: Any, ids: list[int]) -> float:
    """By its definition: -log p of each token after the first."""
    p = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True)
    return float(-np.mean([np.log(p[k, ids[k + 1]]) for k in range(len(ids) - 1)]))


def test_rows_are_found_again(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    study.Rows("thing").row({"bits": 4}, lambda: {"perplexity": 7.5})
    assert "| 4 | 7.5 |" in capsys.readouterr().out
    assert study.Rows("thing").row({"bits": 4}, lambda: pytest.fail("computed again"))["perplexity"] == 7.5
    assert study.Rows("thing", fresh=True).rows == []


def test_only_the_chosen_devices_err(study: Any) -> None:
    """With all kinds of terms chosen a chip is itself; with none, and no array, it is ideal."""
    bench = study.Bench(24, "short", 2.0, name="tiny-shakespeare")
    made = study.mismatch.Study(bench)
    ideal, whole = bench.score(bench.circuit()), made.score(0, mismatch=0.05, offset=0.01)
    assert made.score(0, terms=lambda t: True, arrays=lambda a: True, mismatch=0.05, offset=0.01) == whole != ideal
    assert made.score(0, terms=lambda t: False, arrays=lambda a: False, mismatch=0.05, offset=0.01) == ideal


def test_the_settled_point_reads_as_rest_does(study: Any) -> None:
    found = study.settled._settled(study.Bench(24, "short", 2.0, name="tiny-shakespeare"))
    assert found["settled"] and found["argmax agrees"] == 1
    assert found["perplexity"] == pytest.approx(found["at rest"], rel=2**-8)
    assert found["settled from rest"] < 2**-8


def test_noise_in_time_is_that_of_the_analysis(study: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both engines' rms of the logits agree, mapped once for two capacitances, whose noise goes as 1/sqrt(C)."""
    monkeypatch.delitem(sys.modules, "noise_table", raising=False)
    import noise_table  # type: ignore[import-not-found, unused-ignore]

    bench = study.Bench(4, "short", 2.0, name="tiny-shakespeare")
    given = {"capacitances": [49.0, 490.0], "chips": 1, "seeds": 1, "reads": [1.0, 2.0], "device": "numpy"}
    given |= {"parts": ["runs", "linear"]}
    noise_table.table(bench, Namespace(**given))
    rows = json.loads((tmp_path / "noise_table.json").read_text())["rows"]
    assert [(row["fF"], row["machine"], row["reads"]) for row in rows] == [
        (49, "no mismatch", 2), (49, "trimmed mismatch", 2), (490, "no mismatch", 2), (490, "trimmed mismatch", 2),
    ]  # fmt: skip
    for row in rows:
        assert len(row["by read %"]) == 2
        assert row["logits rms %"] == pytest.approx(row["linearised logits rms %"], rel=0.3)
    assert rows[0]["logits rms %"] > 1.5 * rows[2]["logits rms %"]
    technology = ds.load_technology(overrides={"supply.headroom": 2.0, "node.capacitance": 490e-15})
    again, mapped = noise_table.load_nodes(bench.circuit(), technology), bench.circuit({"node.capacitance": 490e-15})
    for name, node in mapped.arrays.items():
        assert node.clamped or np.array_equal(node.capacitance, again.arrays[name].capacitance), name


def test_kept_rows_of_an_earlier_kind_stay_and_are_not_counted(
    study: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without mirror images, angles, standard errors: what is lacking is found beside them."""
    monkeypatch.delitem(sys.modules, "noise_table", raising=False)
    import noise_table  # type: ignore[import-not-found, unused-ignore]
    from pretrained import angles, noise  # type: ignore[import-not-found, unused-ignore]

    machine = {"fF": 49.0, "chip": "ideal"}
    earlier: dict[str, dict[str, Any]] = {
        "noise_runs": machine | {"noise seed": 0, "reads": [5.0], "perplexity": 5.0, "read at ns": [7.0]},
        "noise_linear": machine | {"perplexity": 5.0, "over samples": 1.0, "logits rms %": 1.0},
        "noise": {"machine": noise.CASES[0].name, "perplexity": 5.0},
        "angles": {"angles": angles.FREQUENCIES[0], "seed": 0, "perplexity": 5.0},
    }
    for name, row in earlier.items():
        (tmp_path / f"pretrained_{name}.json").write_text(json.dumps({"rows": [row]}))
    bench = study.Bench(4, "short", 2.0, name="tiny-shakespeare")
    given: dict[str, Any] = {"capacitances": [49.0], "chips": 0, "seeds": 1, "reads": [1.0], "device": "numpy"}
    noise_table.table(bench, Namespace(**given, parts=["runs"]))
    assert not (tmp_path / "noise_table.json").exists()
    noise_table.table(bench, Namespace(**given, parts=["runs", "linear"]))
    (line,) = json.loads((tmp_path / "noise_table.json").read_text())["rows"]
    assert line["reads"] == 1 and line["perplexity"] != 5.0

    monkeypatch.setattr(noise, "CASES", noise.CASES[:1])
    monkeypatch.setattr(noise, "fluctuating", lambda bench, case: {"perplexity": 6.0})
    noise.run(bench)
    monkeypatch.setattr(angles, "FREQUENCIES", angles.FREQUENCIES[:1])
    monkeypatch.setattr(angles, "SEEDS", 1)
    monkeypatch.setattr(angles, "one", lambda *given: {"perplexity": 6.0, "surprise, nats": 0.1})
    angles.run(bench)
    for name, row in earlier.items():
        rows = json.loads((tmp_path / f"pretrained_{name}.json").read_text())["rows"]
        assert rows[0] == row and len(rows) == 2, name
    noise_table.table(bench, Namespace(**given, parts=["runs", "linear"]))
    for part in (noise, angles):
        part.run(bench)
    for name in earlier:  # and all is found again
        assert len(json.loads((tmp_path / f"pretrained_{name}.json").read_text())["rows"]) == 2, name


def test_mirrored_readings_have_no_first_order(study: Any) -> None:
    """Two likely tokens of V = 2: L(±d) = ln(1 + e^(∓d)), perplexity on average 1 + cosh d, the odd part of L d/2."""
    from pretrained.mirrored import Readings  # type: ignore[import-not-found, unused-ignore]

    readings = Readings([0, 0], np.zeros((2, 2)), 2.0)
    for d in (0.4, -0.4):
        readings.add(np.array([[d, 0.0], [0.0, 0.0]]))
    assert readings.noiseless == pytest.approx(2)
    assert readings.perplexity == pytest.approx([1 + np.exp(-0.4), 1 + np.exp(0.4)])
    assert readings.mirrored == pytest.approx(readings.perplexity[::-1])
    assert readings.surprise == pytest.approx([0.2, 0.2])
    assert readings.rms == pytest.approx([0.1, 0.1])
    found = readings.columns()
    assert found["perplexity"] == pytest.approx(1 + np.cosh(0.4))
    assert found["standard error"] == pytest.approx(0, abs=1e-12)


def test_a_displaced_mean_costs_in_the_order_of_the_noises_power(study: Any) -> None:
    """Logits (s ± d, 0) of V = 2, the small copies (± d/30, 0): ln(1 + e^(−z)) by what is linear and by the mean."""
    from pretrained import bending  # type: ignore[import-not-found, unused-ignore]

    d, s = 0.3, 0.05
    small = d * bending.SMALL
    copies = np.zeros((4, 2, 2))
    copies[:, 0, 0] = s + d, s - d, small, -small
    found = bending.shares(np.zeros((2, 2)), copies, [0, 0], 1.0)
    assert found["loss, linear"] == pytest.approx(np.log(np.cosh(d / 2)))
    assert found["loss, displaced"] == pytest.approx(np.log1p(np.exp(-s)) - np.log(2))
    assert found["loss"] == pytest.approx(np.log1p(np.exp([-s - d, -s + d])).mean() - np.log(2))
    assert found["mean displacement %"] == pytest.approx(100 * s / 2)
    assert found["logits rms %"] == pytest.approx(100 * d / 2)


def test_small_still_noise_is_linear(study: Any) -> None:
    """Of the bundled model, a hundredth of thermal noise: with either sign it costs what its linear part does."""
    from pretrained import bending  # type: ignore[import-not-found, unused-ignore]

    bench = study.Bench(6, "short", 2.0, name="tiny-shakespeare")
    plan = planned(bench.circuit(), "float64", "numpy")
    weak, strong = (bending.mean(bench, plan, strength, 2) for strength in (0.01, 0.02))
    for name in ("loss", "loss, linear", "loss, displaced"):
        assert strong[name] == pytest.approx(4 * weak[name], rel=0.02), name
    assert weak["loss"] == pytest.approx(weak["loss, linear"] + weak["loss, displaced"], rel=0.02)


def test_scatter_of_lags_is_known(study: Any) -> None:
    """N nodes alone, ⟨x(0)x(τ)⟩ = σ² e^(−λτ): a mean of x² over T and the nodes has the relative variance 2/(λTN)."""
    circuit = ds.Circuit("lags")
    circuit.clamp("u", (1, 2000))
    node = circuit.nodes("x", (1, 2000))
    circuit.couple("w", "u", "x", 1.0)
    seconds = 100 * node.time_constant
    found = study.scatter.scatter(planned(circuit, "float64", "numpy"), {"u": np.zeros((1, 2000))}, seconds)
    assert found["x"].relative == pytest.approx(np.sqrt(2 / (100 * 2000)), rel=0.1)
    assert np.sqrt(found["x"].of_token[0]) / found["x"].power[0] == pytest.approx(found["x"].relative)


def test_where_noise_and_distortion_balance(study: Any) -> None:
    """Noise as 0.8/s and distortion as 100 s²: equal at s = 0.2, 4 each; straight over logarithms, so exact."""
    machine = {"model": "m", "unit": "pair", "node": "49 fF", "conveyors": "ideal"}
    swings = (0.5, 0.1, 0.3)
    rows = [machine | {"swing_v": s, "distortion": 100 * s**2, "noise": 0.8 / s, "both": 9 + s} for s in swings]
    (found,) = study.balance.balance(rows, "m")
    assert (found["balance_v"], found["each"]) == (pytest.approx(0.2), pytest.approx(4.0))
    assert (found["best_v"], found["both there"]) == (0.1, 9.1)
    assert study.balance.balance(rows[:1], "m")[0]["balance_v"] == "–"


def test_a_machine_behind_real_conveyors_is_only_noisier(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are written through conveyors: at rest all reads as behind ideal ones."""
    from dsmachine.circuits.cells.mos.support import Support

    values = {name: 0.0 for name in Support.__dataclass_fields__}
    state = Support(**values | {"kind": "A", "noise_conductance": 2e-3, "noise_resistance": 1e4})
    monkeypatch.setattr(study.balance, "followers", lambda kind: state)
    bench = study.Bench(24, "short", 2.0, name="tiny-shakespeare")
    ideal, real = (bench.circuit(study.balance.Point("pair", 0.2, "2 pF", kind).overrides) for kind in ("ideal", "A"))
    assert bench.score(real) == bench.score(ideal)
    assert real.arrays["logits"].noise_siemens == pytest.approx(1e-3)
    assert study.balance.fluctuating(bench, real)[2] > 2 * study.balance.fluctuating(bench, ideal)[2]


def test_scalings_share_ranges() -> None:
    first = Ranges({"a": np.array([[8.0, 2.0], [1.0, 3.0]])})
    assert first.scaled("first") is first
    assert first.scaled("channel").values["a"].tolist() == [[8, 3], [8, 3]]
    assert first.scaled("global").values["a"].tolist() == [[8, 8], [8, 8]]
    with pytest.raises(ds.Error, match="use first, channel, global"):
        first.scaled("token")
    with pytest.raises(ds.Error, match="no longer know those of 'channel'"):
        first.scaled("global").scaled("channel")


@pytest.mark.parametrize("scaling", ["channel", "global"])
def test_units_are_shared_and_the_answer_is_the_same(scaling: str) -> None:
    model = ds.load_model("tiny-shakespeare")
    ranges = calibrate(model, 6)
    plain, shared = (ds.map_model(model, 6, ranges=r) for r in (ranges, ranges.scaled(scaling)))
    assert (plain.notes["scaling"], shared.notes["scaling"]) == ("first", scaling)
    unit = shared.units("h.1.resid")
    assert np.ptp(unit, axis=0).max() == 0
    assert (np.ptp(unit) == 0) == (scaling == "global")
    inputs = {"embed": model.embed(model.encode("To be,"))}
    want, got = (ds.operating_point(c, inputs, precision="float64").logical("logits") for c in (plain, shared))
    assert np.abs(got - want).max() < 1e-9 * np.abs(want).max()
