"""Rows of the report: every value names where it comes from, and follows from what stands in that place."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsmachine.circuits.errors import Error
from dsmachine.energy.published import published
from dsmachine.energy.rows import Inputs, Row, paper_name
from dsmachine.energy.systems import Baseline, Machine, Step, learners_of_shapes, load_baseline, machines_of_shapes
from dsmachine.energy.tables import checked_tables, rows

PAPER = published()
MACHINE = Machine(
    model="gpt2",
    tokens=4,
    phases={"load": 1e-6, "anneal": 2e-6, "read": 1e-6},
    joules_by_part={"coupling": 1e-6, "refresh": 5e-6, "controller": 1e-6},
    assumptions=("made up",),
)
STEPS = (
    Step("gpt2", "prefill", 128, 1, 2e-6, 1e-4, "float16"),
    Step("gpt2", "prefill", 128, 8, 1e-6, 5e-5, "float16"),
    Step("gpt2", "decode", 128, 1, 1e-3, None, "float16"),
)


def made(tables: str, *, models: tuple[str, ...] = PAPER.models, baseline: Baseline | None = None) -> list[Row]:
    machines = {"GPT2": MACHINE} if "GPT2" in models else {}
    return rows(checked_tables(tables), Inputs(models, machines, [], baseline))


def one(found: list[Row], **wanted: str) -> Row:
    (row,) = [row for row in found if all(getattr(row, name) == value for name, value in wanted.items())]
    return row


def test_every_row_says_where_it_is_from() -> None:
    found = made("2,3,4,7", baseline=Baseline("GPU", STEPS))
    assert {row.source for row in found} == {"printed", "recomputed", "emulated", "measured"}
    for row in found:
        assert row.assumptions or (row.source == "printed"), row
        assert row.value is None or row.value > 0
    training = [row for row in found if row.table == "2" and row.source == "emulated"]
    assert len(training) == 50
    assert all(row.value is None and row.assumptions[0].startswith("not emulated yet") for row in training)


def test_a_hundred_printed_and_a_hundred_recomputed_cells() -> None:
    found = [row for row in made("2,3") if row.system == "DS machine" and row.task in PAPER.tasks]
    assert sum(row.source == "printed" for row in found) == sum(row.source == "recomputed" for row in found) == 100


def test_emulated_rows_follow_from_the_machine() -> None:
    found = made("3,7")
    model = {"model": "GPT2", "source": "emulated"}
    assert one(found, task="MRPC", quantity="time", **model).value == pytest.approx(1700 * 4e-6)
    assert one(found, task="MRPC", quantity="energy", **model).value == pytest.approx(1700 * 7e-6)
    assert one(found, task="MRPC", quantity="energy without refresh", **model).value == pytest.approx(1700 * 2e-6)
    alone = one(found, task="MRPC", quantity="energy of the circuits alone", **model)
    assert alone.value == pytest.approx(1700 * 1e-6)
    assert one(found, table="7", quantity="time to first token", **model).value == pytest.approx(4e-6)
    assert one(found, table="7", quantity="energy efficiency", **model).value == pytest.approx(3.6e6 / 7e-6)
    assert one(found, table="7", quantity="energy a prompt token", **model).value == pytest.approx(7e-6 / 4)
    gain = one(found, quantity="speed-up at equal samples", **model)
    own = [float(PAPER.costs["table3"]["GPT2"].seconds[task] / n) for task, n in PAPER.rule.gpu_samples.items()]
    assert gain.value == pytest.approx(sum(own) / 5 / 4e-6)


STEP = (
    '{"device": "GPU", "rows": [{"model": "gpt2", "batch": 1, "tokens": %s, "seconds_per_token": %s, '
    '"joules_per_token": %s}]}'
)
LEARNER = Machine(
    model="gpt2",
    tokens=4,
    phases={"load": 1e-6, "anneal": 2e-6, "backward": 4e-6, "update": 1e-6},
    joules_by_part={"coupling": 3e-6, "refresh": 6e-6, "controller": 1e-6},
    assumptions=("made up too",),
)


def test_training_rows_follow_from_the_machine_that_learns() -> None:
    inputs = Inputs(("GPT2", "GPT2-M"), {"GPT2": MACHINE}, [], None, {"GPT2": LEARNER})
    found = rows(["2"], inputs)
    model = {"model": "GPT2", "source": "emulated"}
    assert one(found, task="RTE", quantity="time", **model).value == pytest.approx(2500 * 8e-6)
    assert one(found, task="RTE", quantity="energy", **model).value == pytest.approx(2500 * 10e-6)
    assert one(found, task="RTE", quantity="energy of the circuits alone", **model).value == pytest.approx(2500 * 3e-6)
    assert one(found, quantity="time over an inference's", **model).value == pytest.approx(2)
    assert one(found, quantity="energy over an inference's", **model).value == pytest.approx(10 / 7)
    assert one(found, quantity="time over an inference's", source="recomputed", model="GPT2").value == 10
    assert one(found, quantity="of it backward", **model).value == pytest.approx(4e-6)
    gpu = PAPER.costs["table2"]["GPT2"].seconds
    speed = sum(float(gpu[task] / n) for task, n in PAPER.rule.training_samples.items()) / 5 / 8e-6
    assert one(found, quantity="speed-up", **model).value == pytest.approx(speed)
    missing = [row for row in found if row.model == "GPT2-M" and row.source == "emulated"]
    assert len(missing) == 10 and all(row.value is None for row in missing)


def test_a_training_of_another_model_has_rows_of_its_own() -> None:
    own = Machine("mine", 4, LEARNER.phases, LEARNER.joules_by_part, ("its weights",))
    found = [row for row in rows(["2"], Inputs(("GPT2",), {}, [], None, {}, [own])) if row.model == "mine"]
    assert {row.source for row in found} == {"emulated"} and not [r for r in found if "inference" in r.quantity]


def test_learners_of_the_five_shapes_are_bundled() -> None:
    found, answering = learners_of_shapes(), machines_of_shapes()
    assert set(found) == set(answering)
    for name, machine in found.items():
        assert machine.phases["anneal"] == pytest.approx(answering[name].phases["anneal"], rel=0.05)
        assert machine.phases["backward"] > 0 and machine.joules_by_part["weight update"] > 0
        assert machine.joules_of_circuits > answering[name].joules_of_circuits


def test_printed_gains_stand_beside_those_at_equal_samples() -> None:
    found = [row for row in made("3") if row.model == "GPT2, GPT2-M, OPT1.3B"]
    assert one(found, quantity="speed-up", source="printed").value == 127
    assert one(found, quantity="speed-up", source="recomputed").value == pytest.approx(126.7, abs=0.1)
    assert one(found, quantity="speed-up at equal samples").value == pytest.approx(338, abs=1)


def test_the_quickest_measured_step_is_taken() -> None:
    found = made("3,7", models=("GPT2",), baseline=Baseline("GPU", STEPS))
    gpu = {"source": "measured", "system": "GPU"}
    assert one(found, task="RTE", quantity="time", **gpu).value == pytest.approx(3000 * 128 * 1e-6)
    assert one(found, task="RTE", quantity="energy", **gpu).value == pytest.approx(3000 * 128 * 5e-5)
    assert one(found, quantity="time to first token", **gpu).value == pytest.approx(128 * 2e-6)  # alone
    assert one(found, quantity="token rate", **gpu).value == pytest.approx(1e3)
    assert not [row for row in found if row.source == "measured" and row.quantity == "energy efficiency"]


def test_a_run_of_another_model_has_rows_of_its_own() -> None:
    own = Machine("mine", 4, MACHINE.phases, MACHINE.joules_by_part, ("its weights",))
    found = [row for row in rows(["3", "7"], Inputs(("GPT2",), {}, [own], None)) if row.model == "mine"]
    assert {row.source for row in found} == {"emulated"} and {row.table for row in found} == {"3", "7"}
    assert paper_name("OPT-1.3B") == "OPT1.3B" and paper_name("mine") == "mine"


def test_machines_of_the_five_shapes_are_bundled() -> None:
    found = machines_of_shapes()
    assert set(found) == set(PAPER.shapes.values())
    for machine in found.values():
        assert machine.latency > 0 and 0 < machine.joules_of_circuits < machine.joules_without_refresh < machine.joules
        first, *_, last = machine.assumptions
        assert "random weights" in first and last.startswith("not counted: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is not as expected"),
        ('{"device": "GPU"}', "lacks 'rows'"),
        ('{"device": "GPU", "rows": [{"model": "gpt2"}]}', "lacks 'tokens'"),
        ('{"device": "GPU", "rows": []}', "no rows"),
        (STEP % (0, 1e-6, 1e-3), "tokens of gpt2 is 0"),
        (STEP % (8, -1, 1e-3), "seconds_per_token of gpt2 is -1"),
        (STEP % (8, 1e-6, "NaN"), "joules_per_token of gpt2 is nan"),
        ('{"device": "GPU", "rows": [{"model": "gpt2", "tokens": "many"}]}', "is not as expected"),
    ],
)
def test_broken_baselines_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(Error, match=said):
        load_baseline(path)


def test_baselines_are_read_leniently(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    row = '{"model": "gpt2", "tokens": 8, "batch": 1, "precision": "float32", "seconds_per_token": 1e-6, "more": []}'
    path.write_text('{"device": "GPU", "rows": [' + row + "]}")
    found = load_baseline(path)
    assert found is not None and found.steps == (Step("gpt2", "prefill", 8, 1, 1e-6, None, "precision float32"),)
    with pytest.raises(Error, match="does not exist: measure one with dsmachine baseline"):
        load_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(("asked", "said"), [("5", "'5' is not reported"), ("", "no table"), ("2,x", "'x'")])
def test_unknown_tables_are_refused(asked: str, said: str) -> None:
    with pytest.raises(Error, match=said):
        checked_tables(asked)
