"""The tables of the paper: each DS cell follows from latencies, sizes of data sets and powers, to its last digit."""

from decimal import Decimal

import pytest

from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.published import INFERENCE, SUFFIX, TRAINED, TRAINING, as_printed, published

PAPER = published()
CELLS = [(table, model, task) for table in (TRAINING, INFERENCE) for model in PAPER.models for task in PAPER.tasks]


@pytest.mark.parametrize("quantity", ["seconds", "joules"])
@pytest.mark.parametrize(("table", "model", "task"), CELLS)
def test_the_rule_gives_every_cell_of_the_machine(table: str, model: str, task: str, quantity: str) -> None:
    printed = getattr(PAPER.costs[table][model + SUFFIX[table]], quantity)[task]
    assert as_printed(getattr(PAPER.recomputed(table, model), quantity)[task], printed) == printed


def test_there_are_a_hundred_cells() -> None:
    assert 2 * len(CELLS) == 100


@pytest.mark.parametrize("model", PAPER.models)
def test_rates_of_table_7(model: str) -> None:
    rule = PAPER.rule
    for name, found in ((f"{model}-DS", rule.rate(model)), (model, rule.gpu_rate(PAPER.costs[INFERENCE][model]))):
        printed = PAPER.rates[name]
        for quantity in ("ttft", "tokens_per_s", "tokens_per_kwh"):
            want, got = getattr(printed, quantity), getattr(found, quantity)
            assert float(got) == pytest.approx(float(want), rel=0.006), (name, quantity)  # from rounded cells
    assert PAPER.edge["DS-LLM (this work)"].tokens_per_kwh == PAPER.rates["Llama2-7B-DS"].tokens_per_kwh


@pytest.mark.parametrize("table", [TRAINING, INFERENCE])
def test_joules_of_gpus_are_eight_hundred_watts(table: str) -> None:
    watts = float(PAPER.rule.gpu_power)
    assert watts == 800
    for model in PAPER.models:
        cost = PAPER.costs[table][model]
        for task in PAPER.tasks:
            assert float(cost.joules[task] / cost.seconds[task]) == pytest.approx(
                watts, rel=0.01
            )  # of three digits each


def test_averages_of_the_abstract() -> None:
    """Training over five models, inference over three: within what rounded cells leave."""
    claims = PAPER.claims
    for table, models, name in ((TRAINING, PAPER.models, "training"), (INFERENCE, TRAINED, "inference")):
        speed, energy = PAPER.gains(table, models)
        assert float(speed) == pytest.approx(float(claims[f"{name}_speedup"]), rel=0.005)
        assert float(energy) == pytest.approx(float(claims[f"{name}_energy_reduction"]), rel=0.005)
    assert float(PAPER.gains(INFERENCE, PAPER.models)[0]) == pytest.approx(151.5, abs=0.05)
    assert float(PAPER.gains_at_equal_samples(PAPER.models)[0]) == pytest.approx(400, abs=1)


def test_digits_are_as_printed() -> None:
    assert PAPER.costs[INFERENCE]["GPT2-DS"].seconds["RTE"] == Decimal("3.60E-3")
    assert PAPER.costs[INFERENCE]["Llama2-7B-DS"].seconds["QQP"].as_tuple().digits == (1, 2, 9, 0, 3)
    assert len(PAPER.accuracy) == 15 and len(PAPER.noise) == 8 and len(PAPER.taylor) == 5
    assert set(PAPER.shapes.values()) <= set(SHAPES)
