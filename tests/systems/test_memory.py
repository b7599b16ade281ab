"""What a transient holds: the machine's state a few times, and the polynomials of a layer or two."""

import tracemalloc

import numpy as np
from systems.system import TAU

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit

LAYERS, WIDTH = 40, 20_000


def test_a_deep_circuit_costs_its_state_and_not_its_waveforms() -> None:
    """A layer's polynomials are let go once no later layer reads them: all of them would be 6 states and more."""
    circuit, before = Circuit("chain"), "u"
    circuit.clamp("u", (WIDTH,))
    for k in range(LAYERS):
        circuit.nodes(f"x{k}", (WIDTH,), layer=f"L{k}")
        circuit.couple(f"w{k}", before, f"x{k}", 1.0)
        before = f"x{k}"
    state = 4 * LAYERS * WIDTH
    tracemalloc.start()
    try:
        run = ds.transient(circuit, {"u": np.full(WIDTH, 0.2)}, duration=200 * TAU, settle_bits=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.allclose(run.outputs[before], 0.2, atol=1e-3)
    assert peak < 6 * state
