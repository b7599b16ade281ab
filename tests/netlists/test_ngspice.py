"""The interface to ngspice: an RC with a known answer, and everything it must refuse."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsmachine.netlists.ngspice as module
from dsmachine.circuits.errors import Error
from dsmachine.netlists.allowed import check_netlist
from dsmachine.netlists.ngspice import first_error, ngspice_version, run_netlist

ENGINES = ["pyspice", "batch"]
TAU = 1.5e-9
RC = f"""RC charged from 1 V
V1 in 0 1
R1 in y.0 30k
C1 y.0 0 50f
.options method=trap reltol=1e-6 abstol=1e-12 vntol=1e-7
+ chgtol=1e-18 trtol=1 acct
.tran {TAU / 20} {5 * TAU} 0 {TAU / 50} uic
.save v(y.0) i(V1)
.print tran v(y.0)
.end
"""


def with_line(line: str) -> str:
    return RC.replace("C1 y.0", f"{line}\nC1 y.0")


@pytest.mark.spice
@pytest.mark.parametrize("engine", ENGINES)
def test_rc_follows_its_exponential(engine: module.Engine) -> None:
    waves = run_netlist(RC, engine=engine)
    exact = 1 - np.exp(-waves.time / TAU)
    assert waves.time.dtype == waves["y.0"].dtype == np.float64
    assert waves.time[-1] == pytest.approx(5 * TAU)
    assert np.all(np.diff(waves.time) > 0)
    assert np.max(np.abs(waves["Y.0"] - exact)) < 2e-5
    # ngspice counts a source's current into its positive terminal.
    np.testing.assert_allclose(waves["i(V1)"], (exact - 1) / 30e3, atol=1e-9)
    assert set(waves.values) == {"y.0", "i(v1)"}
    assert waves.engine == engine
    assert waves.version == ngspice_version()
    assert waves.load_seconds is not None and waves.solve_seconds is not None
    assert 0 <= waves.load_seconds + waves.solve_seconds <= waves.seconds
    assert "No. of Data Rows" in waves.log


@pytest.mark.spice
def test_ngspice_tells_how_far_it_is() -> None:
    """libngspice's own shares of the time, told some times a second: of a run so long that there are a dozen."""
    told: list[tuple[str, float | None]] = []
    long = RC.replace(f"{5 * TAU} 0 {TAU / 50}", f"{5 * TAU} 0 {TAU / 8e4}")
    run_netlist(long, engine="pyspice", told=lambda what, share: told.append((what, share)))
    solving = [share for what, share in told if what == "ngspice solves" and share is not None]
    assert len(solving) > 1 and solving == sorted(solving) and 0 < solving[0] < solving[-1] <= 1


LOWPASS = """RC lowpass
V1 in 0 dc 2 ac 1
R1 in y 30k
R2 y 0 30k
C1 y 0 1p
.options reltol=1e-6 temp=27
{analysis}
.end
"""


@pytest.mark.spice
@pytest.mark.parametrize("engine", [*ENGINES, "neospice"])
def test_every_analysis_has_its_axis_and_values(engine: module.Engine) -> None:
    """A divider of 2, with a pole at 1/(2π R C) of its 15 kΩ, and kT/C of noise."""
    if engine == "neospice":
        pytest.importorskip("neospice")

    def run(analysis: str) -> module.Waveforms:
        return run_netlist(LOWPASS.format(analysis=analysis), engine=engine)

    op = run(".op")
    assert (op.analysis, op.axis.size, op["y"].shape) == ("op", 0, (1,))
    assert op["y"][0] == pytest.approx(1.0)
    dc = run(".dc V1 -1 1 0.5")
    np.testing.assert_allclose(dc.axis, [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(dc["y"], dc.axis / 2, atol=1e-9)
    pole = 1 / (2 * np.pi * 15e3 * 1e-12)
    ac = run(f".ac dec 1 {pole / 10} {pole}")
    assert not np.iscomplexobj(ac.axis) and ac.axis[-1] == pytest.approx(pole)
    np.testing.assert_allclose(ac["y"], 0.5 / (1 + 1j * ac.axis / pole), rtol=1e-6)
    noise = run(f".noise v(y) V1 dec 50 {pole / 1e4} {pole * 1e4}")
    assert noise.axis.shape == noise["onoise_spectrum"].shape
    assert noise["onoise_spectrum"][0] == pytest.approx(np.sqrt(4 * 1.380649e-23 * 300.15 * 15e3), rel=1e-3)
    assert noise["onoise_total"][0] == pytest.approx(np.sqrt(1.380649e-23 * 300.15 / 1e-12), rel=0.01)
    with pytest.raises(Error, match=r"analysis \.noise has no time"):
        _ = noise.time


@pytest.mark.spice
def test_neospice_knows_our_names_and_says_what_it_lacks() -> None:
    pytest.importorskip("neospice")
    waves = run_netlist(RC, engine="neospice")
    assert waves["y.0"][-1] == pytest.approx(1 - np.exp(-waves.time[-1] / TAU), abs=1e-3)
    assert waves.version.startswith("neospice-")
    with pytest.raises(Error, match="neospice rejects the netlist"):
        run_netlist(with_line("Qfoo"), engine="neospice")


@pytest.mark.spice
def test_both_engines_take_the_same_steps() -> None:
    one, other = (run_netlist(RC, engine=engine) for engine in ("pyspice", "batch"))
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one["y.0"], other["y.0"])


@pytest.mark.spice
def test_netlist_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "rc.cir").write_text(RC)
    done = subprocess.run(["ngspice", "-b", "rc.cir"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "v(y.0)" in done.stdout


@pytest.mark.spice
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("M1 y.0 in 0 0 nch", "valid modelname"),
        ("B1 y.0 0 I=frobnicate(V(in))", "no such function 'frobnicate'"),
        ("R2 y.0 0 {nowhere}", "Undefined parameter [nowhere]"),
        ("X1 y.0 0 nothing", "unknown subckt: x1 y.0 0 nothing"),
        ("V2 in 0 2", "singular matrix"),
        ("B1 0 y.0 I=1e-6*exp(100*V(y.0))", "timestep too small"),
    ],
)
def test_rejected_netlist_tells_ngspices_own_line(engine: module.Engine, line: str, said: str) -> None:
    with pytest.raises(Error, match="ngspice rejects the netlist") as caught:
        run_netlist(with_line(line), engine=engine)
    assert said.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


@pytest.mark.spice
@pytest.mark.parametrize("engine", ENGINES)
def test_names_that_sound_like_errors_are_no_errors(engine: module.Engine) -> None:
    text = RC.replace("y.0", "fatal.error.aborted").replace("RC charged", "Error: RC charged")
    assert run_netlist(text, engine=engine)["fatal.error.aborted"][-1] > 0.99


@pytest.mark.spice
@pytest.mark.parametrize("engine", ENGINES)
def test_initial_files_of_the_user_are_not_read(
    engine: module.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".spiceinit").write_text(f"shell touch {tmp_path}/executed\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run_netlist(RC, engine=engine)
    assert not (tmp_path / "executed").exists()


@pytest.mark.spice
@pytest.mark.parametrize("engine", ENGINES)
def test_slow_run_is_given_up(engine: module.Engine) -> None:
    with pytest.raises(Error, match=r"longer than 0\.5 s"):
        run_netlist(RC.replace(f"{TAU / 50} uic", f"{TAU / 1e6} uic"), engine=engine, timeout=0.5)


@pytest.mark.spice
def test_unknown_waveform_is_named() -> None:
    with pytest.raises(Error, match="no waveform 'in'"):
        run_netlist(RC, engine="batch")["in"]


@pytest.mark.parametrize("engine", ENGINES)
def test_crash_of_the_simulator_is_an_error(engine: module.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = [sys.executable, "-c", f"import os; os.kill(os.getpid(), {signal.SIGSEGV:d})"]
    start = module._start
    monkeypatch.setattr(module, "_start", lambda command, *rest: start(crash, *rest))
    monkeypatch.setattr(module, "ngspice_version", lambda: "ngspice-0")
    monkeypatch.setattr(module, "_ngspice", lambda: "ngspice")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(Error, match=r"crashed \(signal 11\)"):
        run_netlist(RC, engine=engine)


def test_missing_ngspice_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for call in (ngspice_version, lambda: run_netlist(RC, engine="batch")):
        with pytest.raises(Error, match="apt-get install ngspice libngspice0-dev"):
            call()


def test_missing_pyspice_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Error, match=r"pip install 'dsmachine\[spice\]'"):
        run_netlist(RC)


@pytest.mark.spice
def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", os.devnull)
    with pytest.raises(Error, match=r"libngspice cannot be loaded .*apt-get install"):
        run_netlist(RC)


def test_unknown_engine_is_named() -> None:
    with pytest.raises(Error, match="engine 'xyce' is unknown"):
        run_netlist(RC, engine="xyce")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        with_line(".control\nshell touch x\n.endc"),
        with_line("  .CONTROL"),
        with_line(".include /etc/hostname"),
        with_line(".inc /etc/hostname"),
        with_line(".lib /etc/hostname tt"),
        with_line("*# shell touch x"),
        with_line("A1 y.0 0 reader\n.model reader filesource(file=x)"),
        with_line(".options rawfile=x"),
        with_line(".options reltol=1e-3\n+ rawfile=x"),
        with_line(".options reltol=1e-3 'x'"),
        with_line("R2 `touch` 0 1k"),
        with_line("Rτ y.0 0 1k"),
        with_line("R2 y.0 0 1k\x0b.control"),
        with_line("* a comment\u2028.control"),
        with_line("$shell touch x"),
        with_line("shell\ttouch x").replace("shell", "\x00shell"),
        RC + ".control\nshell touch x\n.endc\n",
        "*ng_script\nshell touch x\n" + RC,
        ".include /etc/hostname\n" + RC,
        "+ nothing to continue\n" + RC,
        "\n" + RC,
        "",
        RC.replace(".tran", "* tran"),
        with_line(".tran 1n 2n"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_could_do_more_than_simulate_is_refused(
    engine: module.Engine, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_start", lambda *_: pytest.fail("ngspice was started"))
    with pytest.raises(Error, match=r"^netlist") as caught:
        run_netlist(text, engine=engine)
    assert "\n" not in str(caught.value)


def test_comments_and_windows_line_ends_are_fine() -> None:
    check_netlist(with_line("* τ of this node is 1.5 ns; h.0.mlp.act[3,17]").replace("\n", "\r\n"))


def test_first_error_of_a_silent_log() -> None:
    assert "no message" in first_error("Note: all is well\n")
