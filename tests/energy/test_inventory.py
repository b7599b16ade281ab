"""What is counted by sizes alone is what the mapped circuit has, array by array, and what a sheet of paper says."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from hf_models import make, write
from small_models import DEEP, write_small

import dsmachine as ds
from dsmachine.circuits.checkpoints import load_config
from dsmachine.circuits.mapping.sketch import sketch
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.account import driver_counts
from dsmachine.energy.inventory import Piece, deep, inventory

TECHNOLOGY = ds.load_technology()


def counted(name: str, tokens: int, mode: str) -> list[Piece]:
    _, config = load_config(name)
    return deep(inventory(sketch(name, config, tokens, TECHNOLOGY, mode), TECHNOLOGY), config.layers)


def check(name: str, tokens: int, mode: str) -> None:
    mapped = ds.map_model(name, tokens, tokens=mode)
    pieces = counted(name, tokens, mode)
    assert pieces == inventory(mapped, TECHNOLOGY)
    there = [node for node in mapped.arrays.values() if not node.is_inner and (node.stored or not node.clamped)]
    assert sum(piece.nodes for piece in pieces) == sum(node.count for node in there)
    assert sum(piece.weights for piece in pieces) == sum(term.weights(mapped) for term in mapped.terms.values())
    drawn = sum(node.area(TECHNOLOGY) for node in mapped.arrays.values())
    drawn += sum(term.area(mapped, TECHNOLOGY) for term in mapped.terms.values())
    drawn += sum(driver_counts(mapped, TECHNOLOGY).values()) * TECHNOLOGY.buffer.area
    conveyed = {term.target for term in mapped.terms.values() if term.conveyed}
    drawn += sum(mapped.arrays[name].count for name in conveyed) * TECHNOLOGY.conveyor.area
    assert sum(piece.silicon for piece in pieces) == pytest.approx(drawn)


@pytest.mark.parametrize("mode", ["parallel", "serial"])
@pytest.mark.parametrize("name", ["tiny-shakespeare", "tiny-shakespeare-taylor3"])
def test_the_bundled_models_are_counted_as_they_are_mapped(name: str, mode: str) -> None:
    check(name, 12, mode)


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_middle_blocks_stand_for_the_others(tmp_path: Path, mode: str) -> None:
    check(str(write_small(tmp_path / "deep", config=DEEP)), 5, mode)
    for layers in (1, 2, 5):
        check(str(write(tmp_path / f"llama{layers}", make("llama", num_hidden_layers=layers))), 5, mode)


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_opt_is_counted_as_it_is_mapped(tmp_path: Path, mode: str) -> None:
    check(str(write(tmp_path / "opt", make("opt", num_hidden_layers=4))), 6, mode)


def test_gpt2_by_hand() -> None:
    """A position of a block has two norms (mean, difference, root, quotient), q, k, v, context, two sums of the stream
    and five times 4d of the GELU; a head a score and a share for each key."""
    c, p = SHAPES["gpt2"], 128
    d, keys = c.width, p * (p + 1) // 2
    pieces = counted("gpt2", p, "parallel")
    block = 2 * (2 * d + 2) + 3 * d + d + 2 * d + 5 * 4 * d
    head = 2 * d + 2 + c.vocabulary
    assert sum(n.nodes for n in pieces) == p * (c.layers * block + head) + c.layers * c.heads * 2 * keys
    couplings = p * (c.layers * (12 * d * d + 2 * 4 * d + 2 * d + 2 * 4 * d) + 4 * d + c.vocabulary * d)
    assert sum(n.counts.get("coupling", 0) for n in pieces) == couplings
    products = p * (c.layers * (2 * d + 3 * 4 * d) + d) + c.layers * 2 * d * keys
    assert sum(n.counts.get("product", 0) for n in pieces) == products
    weights = c.layers * (12 * d * d + 9 * d) + c.vocabulary * (d + 1)
    assert sum(n.distinct for n in pieces) == weights
    assert sum(n.weights for n in pieces) == p * weights
    assert sum(n.units for n in pieces) == couplings + products


def test_seven_billion_weights_are_not_in_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = counted("llama2-7b", 8, "serial")
    c = SHAPES["llama2-7b"]
    dense = c.layers * (4 * c.width**2 + 3 * c.width * c.inner) + c.vocabulary * c.width
    assert sum(piece.distinct for piece in pieces) == dense
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6  # KiB: 2 GB of 27


def test_blocks_of_cells(tmp_path: Path) -> None:
    """Heads are independent of each other, positions of a matrix too, and each node of what is done one by one."""
    circuit: Any = ds.map_model("tiny-shakespeare", 6)
    heads = load_config("tiny-shakespeare")[1].heads
    blocks = {name: term.blocks(circuit) for name, term in circuit.terms.items()}
    assert blocks["h.0.attn.c_attn"] == 6
    assert blocks["h.0.attn.score"] == blocks["h.0.attn.context"] == heads
    assert blocks["h.0.resid.skip"] == circuit.arrays["h.0.resid"].count
    assert blocks["h.0.ln_1.root.squares"] == 6
    assert circuit.terms["h.0.attn.prob"].together(circuit) == 6
