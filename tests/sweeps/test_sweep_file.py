"""Results of sweeps: statistics, files that xarray opens, pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.sweeps.grid import Grid
from dsmachine.sweeps.metrics import METRICS
from dsmachine.sweeps.parameters import PARAMETERS
from dsmachine.sweeps.result import Swept

ABOUT = {"fingerprints": {"model": "m", "text": "t"}, "text": "given", "windows": 2, "versions": {}}
AXES: dict[str, Any] = {"mismatch": [0, 0.1, 0.2], "noise": [0, "thermal"], "supply.swing": [0.4, 0.5]}


def example(axes: dict[str, Any] = AXES, **limits: float) -> Swept:
    grid = Grid.of(axes, 4, [3, 5], {"auto-zero": 0.001})
    draws = np.random.default_rng(0).uniform(1, 20, (2, *grid.shape))
    return Swept(grid, {"perplexity": draws[0], "energy": 1e-6 * draws[1]}, limits, "small", ABOUT)


def test_mean_deviation_and_yield_are_over_chips_and_seeds() -> None:
    found = example(perplexity=9.0)
    values = found.of("perplexity")
    np.testing.assert_allclose(found.mean("perplexity"), values.mean(axis=(-2, -1)))
    np.testing.assert_allclose(found.deviation("perplexity"), values.std(axis=(-2, -1), ddof=1))
    np.testing.assert_allclose(found.yield_at("perplexity"), (values <= 9).mean(axis=(-2, -1)))
    np.testing.assert_allclose(found.yield_at("energy", 5e-6), (found.of("energy") <= 5e-6).mean(axis=(-2, -1)))
    values[0, 0, 0, 1:] = np.nan
    values[0, 0, 0, 0, 1] = np.nan
    assert found.mean("perplexity")[0, 0, 0] == values[0, 0, 0, 0, 0] and np.isnan(
        found.deviation("perplexity")[0, 0, 0]
    )
    assert found.missing == {"perplexity": 7, "energy": 0}
    with pytest.raises(
        ds.Error, match="'energi' was not computed: use one of perplexity, energy; did you mean 'energy'"
    ):
        found.of("energi")
    with pytest.raises(ds.Error, match="'energy' has no limit: give one"):
        found.yield_at("energy")


def test_more_is_better_of_some() -> None:
    grid = Grid.of({"mismatch": [0.1]}, 4, 1, {})
    found = Swept(grid, {"accuracy": np.array([[[0.2], [0.4], [0.6], [np.nan]]])}, {"accuracy": 0.4}, "small", ABOUT)
    assert found.yield_at("accuracy").tolist() == [0.5]


def test_xarray_opens_what_was_saved(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not here: pip install 'dsmachine[test]'")
    pytest.importorskip("h5netcdf", reason="h5netcdf is not here: pip install 'dsmachine[test]'")
    found = example(perplexity=9.0)
    found.save(tmp_path / "sweep.h5")
    with xarray.open_dataset(tmp_path / "sweep.h5", engine="h5netcdf") as data:
        assert dict(data.sizes) == {"mismatch": 3, "noise": 2, "supply.swing": 2, "chip": 4, "noise_seed": 2}
        assert data["perplexity"].dims == found.dimensions and data["perplexity_mean"].dims == tuple(found.axes)
        assert data["noise"].values.tolist() == ["0", "thermal"]
        assert data["noise_seed"].values.tolist() == [3, 5]
        assert data["supply.swing"].attrs["units"] == "V" and data["energy"].attrs["units"] == "J"
        one = data["energy"].sel({"mismatch": 0.1, "noise": "thermal", "supply.swing": 0.5, "chip": 2, "noise_seed": 5})
        assert float(one) == found.of("energy")[1, 1, 1, 2, 1]
        mean = data["perplexity"].mean(("chip", "noise_seed"))
        np.testing.assert_allclose(mean, data["perplexity_mean"])
        np.testing.assert_allclose(data["perplexity_yield"], found.yield_at("perplexity"))
        assert data["perplexity_yield"].attrs["limit"] == 9.0 and "energy_yield" not in data


def test_a_saved_sweep_is_loaded_as_it_was(tmp_path: Path) -> None:
    found = example(perplexity=9.0)
    found.failed = [("why", 2)]
    found.of("energy")[0] = np.nan
    found.save(tmp_path / "sweep.h5")
    loaded = ds.load_sweep(tmp_path / "sweep.h5")
    assert loaded.grid == found.grid and loaded.limits == found.limits and loaded.failed == found.failed
    assert (loaded.model, loaded.about) == (found.model, found.about)
    for name, values in found.values.items():
        np.testing.assert_array_equal(loaded.of(name), values)
    with pytest.raises(ds.Error, match="already exists"):
        found.save(tmp_path / "sweep.h5")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sweep.h5"
    example().save(path)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ds.Error, match=r"sweep\.h5 .*(is empty|is not HDF5|damaged)"):
            ds.load_sweep(path)


@pytest.mark.parametrize(
    ("axes", "panels"),
    [
        (AXES, 3),
        ({"mismatch": [0, 0.1, 0.2]}, 2),
        ({"coupling": ["buffered", "balanced"]}, 2),
        ({"node.capacitance": [2e-14, 4e-14, 2e-13]}, 2),
        ({"softmax": [None, "taylor"], "mismatch": np.linspace(0, 1, 12)}, 3),
        ({}, 2),
    ],
)
def test_pictures(axes: dict[str, Any], panels: int) -> None:
    found = example(axes, perplexity=9.0)
    figure = ds.plots.plot_sweep(found, "perplexity")
    figure.draw_without_rendering()
    shown = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert len(shown) == panels
    assert len(ds.plots.plot_sweep(found, "energy").axes) < len(figure.axes)
    axis = shown[0].get_xlabel()
    assert axis == {"node.capacitance": "node.capacitance (fF)"}.get(next(iter(axes), ""), next(iter(axes), ""))
    mean = found.mean("perplexity")
    first = mean.reshape(mean.shape[0] if axes else 1, -1)[:, 0]
    np.testing.assert_allclose(shown[0].lines[0].get_ydata(), first)
    assert ds.plots.plot_yield(found, "energy", 1e-5).axes[0].get_ylabel().endswith("energy ≤ 10 µJ)")


@pytest.mark.parametrize(
    "axes", [{"softmax": ["translinear", "taylor"]}, {"mismatch": [0, 0.1]}, {"noise": [0, "thermal"]}]
)
def test_a_point_without_a_value_has_its_place_in_the_picture(axes: dict[str, Any]) -> None:
    found = example(axes, perplexity=9.0)
    found.values["perplexity"][1] = np.nan
    figure = ds.plots.plot_sweep(found, "perplexity")
    curves, shares = figure.axes
    assert curves.get_xlim() == pytest.approx(shares.get_xlim())
    [name] = axes
    end = 0.1 if name == "mismatch" else 1
    assert curves.get_xlim()[0] < 0 and curves.get_xlim()[1] > end


def test_the_limit_is_said_beside_the_curves() -> None:
    """Right of the axes, where no curve and no band is, at its height; not over the next panel."""
    figure = ds.plots.plot_sweep(example(perplexity=9.0), "perplexity")
    figure.draw_without_rendering()
    curves, heat = figure.axes[:2]
    [said] = [text for text in curves.texts if text.get_text() == "limit 9"]
    box = said.get_window_extent()
    assert curves.bbox.x1 < box.x0 and box.x1 < heat.get_tightbbox().x0
    assert (box.y0 + box.y1) / 2 == pytest.approx(curves.transData.transform((0, 9))[1], abs=2)


def test_a_limit_far_from_what_was_found_is_in_the_picture() -> None:
    found = example({"mismatch": [0, 0.1]}, perplexity=1e4)
    found.values["perplexity"][1] *= 100
    low, high = ds.plots.plot_sweep(found, "perplexity").axes[0].get_ylim()
    assert low < found.mean("perplexity").min() and high > 1e4


@pytest.mark.parametrize(("chips", "seeds", "title"), [
    (1, 1, "1 chip"), (2, 1, "mean ± deviation, 2 chips"), (1, 3, "mean ± deviation, 1 chip × 3 seeds"),
])  # fmt: skip
def test_the_title_says_what_was_averaged(chips: int, seeds: int, title: str) -> None:
    grid = Grid.of({"mismatch": [0, 0.1]}, chips, seeds, {})
    found = Swept(grid, {"perplexity": np.ones(grid.shape)}, {}, "small", ABOUT)
    assert ds.plots.plot_sweep(found, "perplexity").axes[0].get_title(loc="left") == title


def test_other_places_of_a_third_axis() -> None:
    found = example()
    figure = ds.plots.plot_sweep(found, "perplexity", at={"supply.swing": 0.5})
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), found.mean("perplexity")[:, 1, 1])
    with pytest.raises(ds.Error, match=r"supply\.swing 0\.6 was not swept: use one of 0\.4, 0\.5"):
        ds.plots.plot_sweep(found, "perplexity", at={"supply.swing": 0.6})
    with pytest.raises(ds.Error, match="'noise' is no axis after the second"):
        ds.plots.plot_sweep(found, "perplexity", at={"noise": 0})


@pytest.mark.slow
def test_the_page_about_sweeps_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exec(code, {})
    assert ds.load_sweep("sweep.h5").of("perplexity").shape == (3, 2, 4, 1)


def test_the_page_about_sweeps_names_every_metric_and_parameter() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    for name in [*METRICS, *(name for name in PARAMETERS if "." not in name)]:
        assert f"`{name}`" in page, name
