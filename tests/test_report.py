"""report.html: one file, nothing loaded from outside, every text escaped, joules drawn and dissipated kept apart."""

import base64
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from small_models import PROMPT, write_small

from dsmachine import plots
from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error
from dsmachine.emulator.errors_by_layer import ErrorByLayer
from dsmachine.energy.report import engineering
from dsmachine.report import write_report
from dsmachine.tasks import Annealed, anneal

CHECK = {"nrmse": 2.5e-5, "agrees": True, "engine": "ngspice 42", "options": {"reltol": 1e-7, "method": "gear"}}


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


def written(annealed: Annealed, path: Path, check: object = None, **options: object) -> Reader:
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
        "ngspice 42",
        "2.5e-05",
        "options: reltol",
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


def test_one_file_without_scripts_or_links_outside(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html", CHECK)
    assert "script" not in page.tags and "link" not in page.tags
    (picture,) = page.links
    kind, _, data = picture.partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")
    source = (tmp_path / "report.html").read_text()
    assert "http://" not in source and "https://" not in source and "prefers-color-scheme: dark" in source


def test_text_is_escaped(annealed: Annealed, tmp_path: Path) -> None:
    """A prompt, a model's name, a caption and a cross-check may hold anything."""
    evil = "<script>alert('x')</script>\" onload=\"x\0\x1b[31m"
    marked = replace(annealed, prompt=evil, model=evil, text=evil, expected=evil)
    path = tmp_path / "report.html"
    write_report(marked, {evil: evil, "options": {evil: [evil]}}, path, {evil: Figure(figsize=(1, 1))})
    source = path.read_text(encoding="utf-8")
    page = Reader(source)
    assert "script" not in page.tags and "<script>alert('x')</script>" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", source) and "\\x1b[31m" in page.text
    assert len(page.links) == 1


def test_without_a_cross_check_it_says_so(annealed: Annealed, tmp_path: Path) -> None:
    page = written(annealed, tmp_path / "report.html")
    assert "Not made in this run." in page.text and "NRMSE" not in page.text


def test_a_dataclass_serves_as_cross_check(annealed: Annealed, tmp_path: Path) -> None:
    @dataclass
    class Agreement:
        nrmse: float
        engine: str

    page = written(annealed, tmp_path / "report.html", Agreement(4.2e-6, "ngspice 99"))
    assert "4.2e-06" in page.text and "ngspice 99" in page.text


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
