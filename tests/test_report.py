"""report.html: one file, nothing loaded from outside, every text escaped, joules drawn and dissipated kept apart."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_models import PROMPT, write_small

from dsmachine import plots
from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error
from dsmachine.circuits.units import engineering
from dsmachine.emulator.errors_by_layer import ErrorByLayer
from dsmachine.netlists.crosscheck import CrossCheck, Farthest
from dsmachine.report import write_report
from dsmachine.tasks import Annealed, anneal

TIMES = np.linspace(0, 4e-8, 5)
CHECK = CrossCheck(
    title="h.0 of small", nrmse=2.5e-5, by_array={"h.0.ln": 2e-6, "h.0.mlp": 2.5e-5}, limit=1e-4,
    heat_emulator={"tanh": 3.003e-12, "coupling": 4e-12}, heat_spice={"tanh": 3e-12, "coupling": 4e-12},
    energy_limit=1e-3, engine="batch", version="ngspice-42", options={"method": "gear", "vntol": 1e-7, "reltol": 1e-6},
    tolerance=1e-6, points=1520, nodes=1, duration=4e-8, seconds={"parse": None, "ngspice": 1.5},
    farthest=Farthest("h.0.mlp.7", TIMES, TIMES * 1e6, TIMES * 1e6 + 3e-6),
)  # fmt: skip


@pytest.fixture(scope="module")
def annealed(tmp_path_factory: pytest.TempPathFactory) -> Annealed:
    model = load_model(str(write_small(tmp_path_factory.mktemp("small"))))
    return anneal(model, PROMPT, observers=[ErrorByLayer()])


class Reader(HTMLParser):
    """Collects tags, links and text, and insists that tags close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def written(annealed: Annealed, path: Path, check: CrossCheck | None = None, **options: object) -> Reader:
    """The page, read back."""
    pictures = {"the front": plots.plot_front(annealed.run)}
    write_report(annealed, check, path, pictures, **options)  # type: ignore[arg-type]
    return Reader(path.read_text(encoding="utf-8"))


def test_the_page_says_what_happened(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html", CHECK, continuation=("abc<1>", "abc<2>"))
    account = annealed.energy.to_json()
    assert annealed.oracle_time is not None
    for wanted in (
        annealed.prompt,
        "abc<1>",
        "abc<2>",
        "the texts differ",
        engineering(annealed.oracle_time, "s"),
        engineering(annealed.timer_time, "s"),
        engineering(account["total"], "J"),
        engineering(account["dissipated"], "J"),
        f"{annealed.logit_error:.3g}",
        "ngspice-42 agrees",
        "2.5e-05",
        "chip seed",
        "float32",
        "NumPy",
        f"{engineering(account['duration_s'], 's')}, the timer time",
        *(engineering(phase["seconds"], "s") for phase in account["by_phase"].values()),
        *account["by_phase"],
        *account["by_part"],
        *(layer for layer in account["by_layer"] if layer),
        *annealed.energy.excluded,
    ):
        assert wanted in page.text, wanted


def test_settings_are_told_once_and_in_plain_words(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html").text
    for name in ("threshold area", "beta gradient", "write verify", "auto zero"):
        assert page.count(name) == 1, name
    assert "`" not in page


def test_settings_have_units(annealed: Annealed, tmp_path: Path) -> None:
    words = [word.strip() for word in written(annealed, tmp_path / "report.html").words]
    for name, value in {
        "input resistance": "0 Ω",
        "threshold area": "0 V·m",
        "mismatch (σ, relative)": "0",
        "tolerance (share of full scale)": "0.001",
    }.items():
        assert words[words.index(name) + 1] == value, name
    assert re.fullmatch(r"[\d.]+ [kM]B", words[words.index("predicted memory") + 1])
    assert "wall s" not in words


def test_one_file_without_scripts_or_links_outside(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html", CHECK)
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.links) == 2
    for picture in page.links:
        kind, _, data = picture.partition(",")
        assert kind == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")
    source = (tmp_path / "report.html").read_text()
    assert "http://" not in source and "https://" not in source and "prefers-color-scheme: dark" in source


def test_text_is_escaped(annealed: Annealed, tmp_path: Path) -> None:
    """A prompt, a model's name, a caption and a cross-check may hold anything."""
    evil = "<script>alert('x')</script>\" onload=\"x\0\x1b[31m"
    marked = replace(annealed, prompt=evil, model=evil, text=evil, expected=evil)
    path = tmp_path / "report.html"
    check = replace(CHECK, title=evil, version="<ngspice>", by_array={evil: 2.5e-5}, options={evil: evil})
    write_report(marked, check, path, {evil: Figure(figsize=(1, 1))})
    source = path.read_text(encoding="utf-8")
    page = Reader(source)
    assert "script" not in page.tags and "<script>alert('x')</script>" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", source) and "\\x1b[31m" in page.text
    assert len(page.links) == 2


def test_without_a_cross_check_it_says_so(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html")
    assert "Not made in this run." in page.text and "NRMSE" not in page.text


def test_a_cross_check_has_a_verdict_and_units(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html", CHECK)
    for wanted in (
        "NRMSE 2.5e-05 in h.0.mlp, limit 0.0001; heat +4.3e-04, limit ±0.001",
        "1 node in 2 arrays",
        "40 ns, 1,520 points",
        "vntol 100 nV",
        "in all 1.5 s",
        "h.0.mlp.7, the farthest node, at most 3 µV off",
    ):
        assert wanted in page.text, wanted
    words = [word.strip() for word in page.words]
    at = words.index("Error by array, the worst first")
    assert words.index("h.0.mlp", at) < words.index("25%", at) < words.index("h.0.ln", at) < words.index("2%", at)
    row = words.index("tanh", words.index("Heat in elements"))
    assert [word for word in words[row:] if word][:4] == ["tanh", "3 pJ", "3 pJ", "+1.0e-03"]
    bad = replace(CHECK, by_array={"h.0.mlp": 3e-3}, nrmse=3e-3, heat_emulator={}, heat_spice={})
    page = written(annealed, tmp_path / "bad.html", bad)
    assert "ngspice-42 DISAGREES" in page.text and "3000%" in page.text and "Heat in elements" not in page.text


def test_a_machine_that_did_not_settle(annealed: Annealed, tmp_path: Path) -> None:
    run = replace(annealed.run, settling_time=None)
    page = written(replace(annealed, run=run, timer_time=float("nan")), tmp_path / "report.html")
    assert "did not settle" in page.text and "nan" not in page.text


def test_what_cannot_be_written_or_read(annealed: Annealed, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(Error, match="already exists"):
        write_report(annealed, None, path, {})
    (tmp_path / "no.png").write_text("no picture")
    for picture, line in ((tmp_path / "none.png", "cannot be read"), (tmp_path / "no.png", "is not PNG")):
        with pytest.raises(Error, match=line):
            write_report(annealed, None, path, {"p": picture}, overwrite=True)
    assert path.read_text() == "mine"
