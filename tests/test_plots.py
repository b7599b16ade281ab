"""Pictures: what they show is what was recorded; units on axes; nothing global is touched."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, islice, pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from runs import chain, relaxed

import dsmachine as ds
from dsmachine import plots
from dsmachine.animation import FRAMES, save_front_animation
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.look import COLOURS, series_looks
from dsmachine.emulator.activity import Activity
from dsmachine.emulator.errors_by_layer import ErrorByLayer
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.plotting import spread
from dsmachine.emulator.run import Run, transient
from dsmachine.emulator.runfile import load_run
from dsmachine.energy.published import published
from dsmachine.energy.rows import Inputs
from dsmachine.energy.systems import load_baseline, machines_of_shapes
from dsmachine.tables_plots import plot_joules_and_seconds

COST = {
    "total": 3e-9,
    "dissipated": 2.5e-9,
    "by_part": {
        "coupling": {"drawn": 2e-9, "dissipated": 2.4e-9},
        "buffers": {"drawn": 1e-9, "dissipated": 0.0},
        "feedback": {"drawn": 0.0, "dissipated": 1e-10},
    },
}


@pytest.fixture(scope="module")
def run() -> Run:
    return relaxed(precision="float64", tolerance=1e-6)


@pytest.fixture(autouse=True)
def nothing_global_changes() -> Iterator[None]:
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before


def labels(figure: Figure) -> str:
    """All words on axes."""
    words = [figure.get_supylabel()]
    for ax in figure.axes:
        words += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left"), *(t.get_text() for t in ax.texts)]
    return " | ".join(words)


def as_drawn(figure: Figure, path: Path) -> bytes:
    """The picture's bytes: whatever cannot be drawn fails here."""
    plots.save_figure(figure, path)
    return path.read_bytes()


# --- error against time -----------------------------------------------------------------------------


def test_error_of_one_lag_is_an_exponential() -> None:
    """|x − x_op| = |x_op| exp(−t/τ), as a share of full scale."""
    circuit = lag()
    seen = ErrorByLayer()
    transient(circuit, {"u": [1.0]}, observers=[seen], tolerance=1e-8, precision="float64")
    trace = seen.traces()["a"]
    assert trace.times[0] == 0 and (np.diff(trace.times) > 0).all()
    expected = 0.5 * np.exp(-trace.times / circuit.arrays["a"].time_constant)
    assert np.allclose(trace.values, expected, atol=1e-7)


def test_a_layer_is_as_far_off_as_its_worst_array(run: Run) -> None:
    seen = run.observed["ErrorByLayer"]
    assert list(seen.by_layer()) == ["layer 0", "layer 1", "layer 2"]
    for name, trace in seen.traces().items():
        layer = seen.by_layer()[seen.layers[name]]
        assert np.allclose(np.interp(trace.times, layer.times, layer.values), trace.values, rtol=1e-9, atol=1e-11)


def test_the_error_crosses_the_band_when_the_machine_settles(run: Run) -> None:
    """The observer and the settling watch look at the same deviation."""
    for name, trace in run.observed["ErrorByLayer"].traces().items():
        if name == run.circuit.output:  # its band is the row's range too
            continue
        outside = trace.times[trace.values > 2.0**-8]
        assert outside[-1] <= run.by_array[name] * (1 + 1e-6)


# --- what moves when ----------------------------------------------------------------------------------


def lag() -> Circuit:
    """One input and a bare lag of it."""
    circuit = Circuit("lag")
    circuit.clamp("u", (1,), unit=0.1)
    circuit.nodes("a", (1,), unit=0.1, full_scale=0.2, rail=None)
    circuit.couple("w", "u", "a", np.eye(1))
    return circuit


def test_activity_of_one_lag_is_an_exponential() -> None:
    """τ |dx/dt| = |x_op| exp(−t/τ), as a share of full scale; rms over two samples."""
    circuit, seen = lag(), Activity()
    transient(circuit, {"u": [[1.0], [0.0]]}, observers=[seen], tolerance=1e-8, precision="float64")
    trace = seen.traces()["a"]
    expected = 0.5 / np.sqrt(2) * np.exp(-trace.times / circuit.arrays["a"].time_constant)
    assert (np.diff(trace.times) > 0).all()
    assert np.allclose(trace.values, expected, atol=1e-6)


def test_activity_is_a_rate_whatever_the_step() -> None:
    """The stepper's straight pieces: (x₁ − x₀) τ/h, a step of τ/50 late by half of it."""
    circuit, seen = lag(), Activity()
    transient(circuit, {"u": [1.0]}, observers=[seen], method="stepper", step=0.02, precision="float64")
    trace = seen.traces()["a"]
    tau = circuit.arrays["a"].time_constant
    assert np.allclose(trace.values, 0.5 * np.exp(-(trace.times / tau - 0.01)), rtol=1e-3, atol=1e-6)


def test_nodes_that_do_not_exist_do_not_count() -> None:
    """Half of the nodes absent: the rms is that of the others."""
    shape = (2, 2)
    circuit = Circuit("half")
    circuit.clamp("u", shape, unit=0.1)
    here = np.array([[True, False], [True, False]])
    circuit.nodes("a", shape, unit=0.1, full_scale=0.2, rail=None, exists=here)
    circuit.couple("w", "u", "a", np.eye(2))
    seen = Activity()
    transient(circuit, {"u": np.ones(shape)}, observers=[seen], tolerance=1e-8, precision="float64")
    trace = seen.traces()["a"]
    expected = 0.5 * np.exp(-trace.times / circuit.arrays["a"].time_constant)
    assert np.allclose(trace.values, expected, atol=1e-6)


def test_activity_is_a_map_that_a_file_keeps(tmp_path: Path) -> None:
    seen, errors = Activity(), ErrorByLayer()
    run = transient(chain(), {"u": np.ones(4)}, observers=[seen, errors])
    run.save(tmp_path / "run.h5")
    pictures = [plots.plot_activity(source) for source in (run, seen, load_run(tmp_path / "run.h5"))]
    maps = [np.asarray(figure.axes[0].images[0].get_array()) for figure in pictures]
    assert (maps[0] == maps[1]).all() and (maps[0] == maps[2]).all() and len(maps[0]) == 3
    starts = [int(np.argmax(row)) for row in maps[0]]
    assert starts == sorted(starts) and (maps[0][:, -1] < maps[0].max(axis=1) - 2).all()
    assert "full scale" in labels(pictures[0]) and "time (ns)" in labels(pictures[0])
    assert plots.plot_front(run).axes, "errors are still told from activity"
    as_drawn(pictures[0], tmp_path / "a.png")
    with pytest.raises(Error, match=r"no activity was recorded: pass observers=\[ds.Activity"):
        plots.plot_activity(errors)


# --- pictures -----------------------------------------------------------------------------------------


def test_waveforms_show_what_was_recorded(run: Run, tmp_path: Path) -> None:
    figure = plots.plot_waveforms(run, ["a.2"], sample=1)
    (ax,) = figure.axes
    shown = np.array([line.get_ydata() for line in ax.lines if line.get_label().startswith("[")])
    volts = run.observed["Probe"].volts("a.2")[:, 1]
    assert sorted(shown[:, -1]) == pytest.approx(sorted(volts[-1] * 1e3))
    assert "time (ns)" in labels(figure) and "voltage (mV)" in labels(figure) and "a.2" in labels(figure)
    assert as_drawn(figure, tmp_path / "w.png").startswith(b"\x89PNG")


def test_run_and_probe_plot_themselves(run: Run) -> None:
    assert len(run.plot().axes) == 2
    assert len(plots.plot_waveforms(run.observed["Probe"], nodes=2).axes) == 2
    front = transient(chain(), {"u": np.ones(4)}, observers=[ErrorByLayer()])
    assert front.plot(settle_bits=6).axes[1].get_ylabel() == plots.plot_front(front).axes[1].get_ylabel()


def test_chosen_nodes_are_even_from_highest_to_lowest() -> None:
    assert spread(np.array([0.0, 0.01, 1.0, -1.0, 0.02]), 3) == [2, 0, 3]
    assert spread(np.array([5.0]), 6) == [0]
    assert sorted(spread(np.zeros(4), 4)) == [0, 1, 2, 3]


def test_settling_is_logarithmic_with_its_band(run: Run, tmp_path: Path) -> None:
    figure = plots.plot_settling(run, settle_bits=6)
    ax = figure.axes[0]
    assert ax.get_yscale() == "log" and "share of full scale" in labels(figure) and "6 bits" in labels(figure)
    legend = ax.get_legend()
    assert legend is not None and [t.get_text() for t in legend.get_texts()] == ["layer 0", "layer 1", "layer 2"]
    assert as_drawn(figure, tmp_path / "s.svg").startswith(b"<?xml")


def test_the_front_is_uncovered_as_time_goes_on(run: Run, tmp_path: Path) -> None:
    """Each picture of the animation shows what the last one does up to its moment, and nothing later."""
    path = tmp_path / "front.gif"
    save_front_animation(run, path)
    with Image.open(path) as film:
        assert film.n_frames == FRAMES and film.info["loop"] == 0
        pictures = []
        for k in range(FRAMES):
            film.seek(k)
            pictures.append(np.asarray(film.convert("RGB"), int))
    assert path.stat().st_size < 1_000_000
    last = pictures[-1]
    middle = last.shape[0] // 2
    shown = [int((picture[middle] == last[middle]).all(-1).sum()) for picture in pictures]
    assert all(early < late for early, late in pairwise(shown)) and shown[0] < 0.4 * shown[-1]
    with pytest.raises(Error, match="exists"):
        save_front_animation(run, path)
    with pytest.raises(Error, match=r"'colums' is no option of save_front_animation: did you mean 'columns'\?"):
        save_front_animation(run, tmp_path / "other.gif", colums=3)
    assert ds.animation.save_front_animation is save_front_animation


def test_the_front_runs_forward(run: Run, tmp_path: Path) -> None:
    figure = plots.plot_front(run)
    bits = np.asarray(figure.axes[0].images[0].get_array())
    settled = [int(np.flatnonzero(row < 8)[-1]) for row in bits]
    assert settled == sorted(settled) and len(settled) == 3
    assert "bits settled" in labels(figure) and "time (ns)" in labels(figure)
    as_drawn(figure, tmp_path / "f.png")


def test_a_loaded_run_draws_the_same(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run.h5")
    again = load_run(tmp_path / "run.h5")
    for draw in (plots.plot_waveforms, plots.plot_settling, plots.plot_front):
        first, second = tmp_path / f"{draw.__name__}1.png", tmp_path / f"{draw.__name__}2.png"
        assert as_drawn(draw(run), first) == as_drawn(draw(again), second)


def test_energy_keeps_supply_and_heat_apart(tmp_path: Path) -> None:
    figure = plots.plot_energy(COST)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([0, 1, 2])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0.1, 0, 2.4])
    assert left.get_xlim()[1] == pytest.approx(2 * 1.28) and right.get_xlim()[1] == pytest.approx(2.4 * 1.28)
    assert "drawn from the supply: 3 nJ" in labels(figure) and "dissipated in elements: 2.5 nJ" in labels(figure)
    assert "energy (nJ)" in labels(figure)
    as_drawn(figure, tmp_path / "e.png")


# --- colours ------------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes, IEEE TVCG 15(6), 2009: what dichromats see of linear RGB.
SEEN = {
    "trichromat": np.eye(3),
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, seen: object) -> np.ndarray:
    """CIELAB of an sRGB colour as somebody sees it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.asarray(seen) @ linear, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_are_told_apart_by_every_kind_of_colour_vision(eyes: str) -> None:
    """A difference of 2.3 is just noticed side by side."""
    for one, other in combinations(COLOURS, 2):
        assert np.linalg.norm(lab(one, SEEN[eyes]) - lab(other, SEEN[eyes])) > 15, (one, other)


def test_no_two_series_look_alike() -> None:
    looks = list(islice(series_looks(), 3 * len(COLOURS)))
    assert len({tuple(look.values()) for look in looks}) == len(looks)
    for look, again in zip(looks, looks[len(COLOURS) :], strict=False):
        assert look["linestyle"] != again["linestyle"] and look["markerfacecolor"] != again["markerfacecolor"]


def test_systems_of_the_report_have_colours_of_their_own() -> None:
    machines, paper = machines_of_shapes(), published()
    emulated = {name: machines[shape] for name, shape in paper.shapes.items()}
    (ax,) = plot_joules_and_seconds(Inputs(paper.models, emulated, [], load_baseline())).axes
    lines = [line for line in ax.lines if line.get_label()[0] != "_"]
    assert len({line.get_color() for line in lines}) == len(lines) > 7


def test_a_machine_on_chips_is_drawn_as_it_is_without_but_hollow() -> None:
    machine = machines_of_shapes()[published().shapes["GPT2"]]
    placed = replace(machine, system=f"{machine.system}, 5 × ds-tpu")
    (ax,) = plot_joules_and_seconds(Inputs(("GPT2",), {"GPT2": machine}, [placed], load_baseline())).axes
    lines = {str(line.get_label()): line for line in ax.lines}
    here, there = lines["emulated, an anneal"], lines["emulated on chips, an anneal"]
    assert here.get_color() == there.get_color() and here.get_marker() == there.get_marker()
    assert (there.get_markerfacecolor(), there.get_linestyle()) == ("none", "--") and here.get_linestyle() == "-"


# --- what cannot be drawn -----------------------------------------------------------------------------


def test_what_was_not_recorded_cannot_be_drawn() -> None:
    bare = transient(chain(), {"u": np.ones(4)})
    with pytest.raises(Error, match=r"nothing was recorded: pass observers=\[ds.Probe"):
        bare.plot()
    for draw in (plots.plot_settling, plots.plot_front):
        with pytest.raises(Error, match=r"no error was recorded: pass observers=\[ds.ErrorByLayer"):
            draw(bare)


def test_a_wrong_name_or_sample(run: Run) -> None:
    with pytest.raises(Error, match=r"array 'b' was not recorded: choose from a\.0, a\.2"):
        run.plot(names=["b"])
    with pytest.raises(Error, match="sample 2 is not in the run: it has 2"):
        run.plot(sample=2)


def test_two_probes_of_a_run_are_both_kept() -> None:
    both = transient(chain(), {"u": np.ones(4)}, observers=[Probe(["a.0"]), Probe(["a.1"])])
    assert list(both.observed) == ["Probe", "Probe 2"]
    assert len(both.plot().axes) == 2


@pytest.mark.parametrize("name", ["x.bmpx", "x"])
def test_a_format_that_does_not_exist_leaves_nothing(tmp_path: Path, name: str) -> None:
    figure = plots.plot_energy(COST)
    if name == "x":
        plots.save_figure(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        return
    with pytest.raises(Error, match=r"picture .*x\.bmpx has no known format"):
        plots.save_figure(figure, tmp_path / name)
    assert not list(tmp_path.iterdir())
