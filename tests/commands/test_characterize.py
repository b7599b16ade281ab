"""``dsmachine characterize``: a card written and read again, and what is refused: one line, exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from device_surfaces import square_law_pair
from injections import CARDS, MODELS, NAMES, PATHS, WORDS

import dsmachine as ds
from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.commands import main

GOOD = ".model nch nmos level=54 vth0=0.4\n"
Refused = Callable[..., str]
spice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="needs ngspice")


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    def run(*arguments: object, words: tuple[str, ...] = ()) -> str:
        out = tmp_path / "out.h5"
        code = main(["characterize", "-o", str(out), "--engine", "batch", *map(str, arguments)])
        stdout, stderr = capfd.readouterr()
        assert code == 2, stderr
        assert stdout == "" and stderr.startswith("error: ") and stderr.count("\n") == 1
        for word in words:
            assert word in stderr
        assert not out.exists() and not (tmp_path / "executed").exists()
        return stderr

    return run


@spice
@pytest.mark.spice
def test_a_card_is_written_and_read_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "card.h5"
    arguments = ["characterize", "-o", str(path), "--engine", "batch", "--tolerance", "5e-3"]
    assert main([*arguments, "--json", "--set", "coupling.width=240 nm"]) == 0
    found = json.loads(capfd.readouterr().out)
    card = ds.load_device(path)
    assert (found["width"], found["rank"], found["engine"]) == (240e-9, card.rank, "batch")
    assert found["sha256"] == card.origin.sha256 == ds.load_models().sha256
    assert len(found["linearity"]) == 4 and 0 < found["linearity"][0]["hd3"] < 0.05
    assert main([*arguments, "--overwrite", "--unit", "single"]) == 0
    out = capfd.readouterr().out
    assert "single of nfet (cmos45.pm), 120 nm × 1 µm, TT, 27 °C" in out and "HD3" in out
    assert ds.load_device(path).unit == "single"


@pytest.mark.parametrize("unit", ["pair", "quad"])
def test_files_keep_all_of_a_card(unit: str, tmp_path: Path) -> None:
    pair = square_law_pair(0.3)
    card = pair if unit == "pair" else square_law_quad(pair)
    ds.save_device(card, tmp_path / "card.h5")
    again = ds.load_device(tmp_path / "card.h5")
    assert again.origin == card.origin and again.unit == unit
    np.testing.assert_array_equal(again.surface, card.surface)
    v = np.linspace(-0.5, 0.5, 7)
    np.testing.assert_array_equal(again.current(0.3, v), card.current(0.3, v))
    assert (again.pair is None) == (card.pair is None)


def square_law_quad(pair: DeviceCard) -> DeviceCard:
    return replace(pair, unit="quad", pair=pair, bias=0.8, reach=0.2)


# --- what a user can get wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cell", "log"], ("cell 'log'", "tanh, rectifier, softmax")),
        (["--cell", "tanh", "--unit", "single"], ("unit 'single'", "card of a pair")),
        (["--unit", "octet"], ("unit 'octet'", "single, pair or quad")),
        (["--corner", "XX"], ("'XX'", "corner")),
        (["--temperature", "20"], ("temperature is 20.0 K", "200 … 450")),
        (["--width", "0"], ("width is 0.0", "give metres")),
        (["--width", "nan"], ("width is nan", "give metres")),
        (["--length", "1"], ("length is 1.0", "give metres")),
        (["--tolerance", "0"], ("tolerance is 0.0", "share of the largest current")),
        (["--tolerance", "0.5"], ("tolerance is 0.5", "up to 0.1")),
        (["--tolerance", "1e-9"], ("off a polynomial", "raise the tolerance")),
        (["--vdd", "0.2"], ("vdd 0.2", "raise it")),
        (["--unit", "quad", "--bias", "1.5"], ("bias 1.5", "lower it")),
        (["--unit", "pair", "--bias", "0.5"], ("bias 0.5 would be ignored by unit 'pair'", "'quad'")),
        (["--set", "coupling.widht=1"], ("coupling.widht", "did you mean")),
        (["--set", "coupling.width"], ("--set 'coupling.width'", "KEY=VALUE")),
        (["--set", "coupling.width=1 furlong"], ("furlong",)),
        (["--engine", "xyce"], ("engine 'xyce'", "'batch'")),
        (["--technology", "cmos54"], ("cmos54", "cmos45")),
        (["--nfet", "nmos_vtl"], ("nfet 'nmos_vtl' is not in cmos45.pm", "it has nfet")),
        (["--spice-models", "none.pm"], ("none.pm", "cannot be read")),
        (["--spice-models", "/dev/zero"], ("/dev/zero", "no regular file")),
        (["--spice-models", "/"], ("cannot be read",)),
    ],
)
@spice
def test_options(options: list[str], words: tuple[str, ...], refused: Refused) -> None:
    refused(*options, words=words)


@spice
def test_a_swing_at_which_a_junction_conducts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Which is far beyond the rails, of which the technology warns."""
    out = tmp_path / "out.h5"
    assert main(["characterize", "-o", str(out), "--engine", "batch", "--set", "supply.swing=2"]) == 2
    stdout, stderr = capfd.readouterr()
    warning, error = stderr.splitlines()
    assert stdout == "" and not out.exists()
    assert warning.startswith("warning: supply.swing is ±2 V") and "±0.5 V at most" in warning
    assert error.startswith("error: ") and "±2 V takes a terminal to -0.75 V" in error and "lower supply.swing" in error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no .model card",)),
        (".param a=1\n", ("no .model card",)),
        (".model pch pmos\n", ("no n-channel model",)),
        (".model a nmos\n.model b nmos\n", ("2 models for nfet (a, b)", "nfet=")),
        (".model d1 d is=1e-14\n", ("no transistor",)),
        (".model nch nmos vth0\n", ("'vth0'", "name=value")),
        (".model nch nmos (vth0=0.4\n", ("parentheses",)),
    ],
)
def test_model_cards(text: str, words: tuple[str, ...], refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "card.pm"
    path.write_text(text)
    refused("--spice-models", path, words=("card.pm", *words))


def test_bins_and_two_files_are_one_transistor_each(tmp_path: Path) -> None:
    (tmp_path / "n.pm").write_text(".model NCH.1 nmos level=54 lmax=1u\n.model nch.2 nmos level=54 lmin=1u\n")
    (tmp_path / "p.pm").write_text("* holes\n.MODEL pch PMOS level = 54 vth0 = -0.4 $ volts\n+ toxe=1.2n\n")
    models = ds.load_models([tmp_path / "n.pm", tmp_path / "p.pm"])
    assert (models.nfet, models.pfet, models.origin) == ("nch", "pch", "n.pm + p.pm")
    assert models.text.endswith("toxe=1.2n") and "volts" not in models.text
    with pytest.raises(ds.Error, match="level 1"):
        (tmp_path / "p.pm").write_text(".model pch pmos\n")
        ds.load_models(tmp_path / "p.pm").adjusted("pfet", threshold=0.1)


# --- injection ------------------------------------------------------------------------------------------

assert len(CARDS) + len(WORDS) + len(MODELS) + len(NAMES) + len(PATHS) >= 100


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No simulator may start; what a shell would leave, it would leave here."""
    import dsmachine.netlists.ngspice as module

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_start", lambda *_: pytest.fail("a simulator was started"))


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize("text", [*(GOOD + c for c in CARDS), *(GOOD.strip() + " " + w for w in WORDS), *MODELS])
def test_nothing_but_models_comes_in_through_a_model_card(text: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "card.pm"
    path.write_bytes((text + "\n").encode())
    refused("--spice-models", path, words=("card.pm",))


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_in_through_a_name(name: str, refused: Refused) -> None:
    refused("--nfet", name, words=("nfet", "is not in cmos45.pm"))


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize("path", PATHS)
def test_nothing_comes_in_through_a_path(path: str, refused: Refused) -> None:
    refused("--spice-models", path, words=("model card",))
    refused("--technology", f"{path}.toml", words=("technology",))


@spice
@pytest.mark.spice
def test_commands_in_comments_and_names_of_files_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ngspice obeys `*#` and `*ng_script`; comments do not reach it, and neither do names of files."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a\n.control `touch executed`.pm"
    text = "*ng_script\n*# shell touch executed\n" + GOOD.strip() + " ; .control\n* .include /etc/hostname\n"
    path.write_text(text)
    arguments = ["--spice-models", str(path), "--engine", "batch", "--tolerance", "0.01", "-o", "card.h5"]
    assert main(["characterize", *arguments]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "card.h5"])


# --- device files -----------------------------------------------------------------------------------


def test_files_that_are_no_device_card(tmp_path: Path) -> None:
    path = tmp_path / "card.h5"
    with pytest.raises(ds.Error, match="does not exist: check the path"):
        ds.load_device(path)
    path.write_text("text")
    with pytest.raises(ds.Error, match="is not HDF5: name a file that dsmachine characterize wrote"):
        ds.load_device(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ds.Error, match="is not a device card"):
        ds.load_device(path)
    with pytest.raises(ds.Error, match="already exists"):
        ds.save_device(square_law_pair(), path)


def test_a_newer_device_file(tmp_path: Path) -> None:
    path = tmp_path / "card.h5"
    ds.save_device(square_law_pair(), path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ds.Error, match="has format 99, newer than 4: upgrade dsmachine"):
        ds.load_device(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1
    with pytest.raises(ds.Error, match="has format 1, which counts a pair's current twice: characterize again"):
        ds.load_device(path)


def test_holes_in_a_device_file(tmp_path: Path) -> None:
    path = tmp_path / "card.h5"
    ds.save_device(square_law_pair(), path)
    with h5py.File(path, "r+") as file:
        file["card/surface"][3, 4] = np.nan
    with pytest.raises(ds.Error, match=r"card\.h5: surface has 1 holes, the first at control 0\.06 V, v -0\.4 V"):
        ds.load_device(path)


def test_a_control_that_falls_in_a_device_file(tmp_path: Path) -> None:
    card = square_law_pair()
    ds.save_device(replace(card, table=-card.table), tmp_path / "card.h5")
    with pytest.raises(ds.Error, match=r"card\.h5: conductance does not rise with its control"):
        ds.load_device(tmp_path / "card.h5")
