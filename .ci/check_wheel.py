"""Build wheel and source distribution, look for every file that must be in them, run both from empty environments.

    python .ci/check_wheel.py                    every Python found: on PATH, and installed by pyenv
    python .ci/check_wheel.py python3.13 …       these

Without link support a wheel builds without the four folders and "succeeds": hence this check.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("circuits", "emulator", "energy", "netlists")
DATA = (
    "circuits/*.txt",
    "circuits/technologies/*.toml",
    "circuits/devices/*.pm",
    "circuits/models/*/*",
    "energy/data/*.json",
    "energy/machines/*.toml",
)
SMOKE = """
import dsmachine as ds
from dsmachine import circuits, emulator, energy, netlists
found = ds.anneal("tiny-shakespeare", "But, soft!", timer_prompts=0)
assert found.run.settled and found.logit_error < 0.01, found
assert found.energy.total > 0
ring = ds.Circuit("ring")
ring.clamp("input", (1,))
ring.nodes("s", (1,))
ring.couple("h", "input", "s", 1.0)
assert ".tran" in ds.write_netlist(ring, inputs={"input": [0.1]}).text
print(ds.__version__, "relaxed in", ds.__file__)
"""


def wanted() -> set[str]:
    """Names below the package of all modules and data files in the checkout."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    files += [file for pattern in DATA for file in ROOT.glob(pattern) if file.is_file()]
    names = {f"dsmachine/{file.relative_to(ROOT).as_posix()}" for file in files}
    packages = (ROOT / "dsmachine", ROOT / "dsmachine/commands", ROOT / "dsmachine/sweeps")
    own = {file.relative_to(ROOT).as_posix() for package in packages for file in package.glob("*.py")}
    return names | own | {"dsmachine/py.typed"}


def build(folder: Path) -> tuple[Path, Path]:
    """Return wheel and source distribution; the wheel is built from the latter."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def check_names(archive: Path, held: set[str], needed: set[str]) -> None:
    """Exit with the missing names."""
    missing = sorted(needed - held)
    if missing:
        sys.exit(f"error: {archive.name} lacks {len(missing)} files: {', '.join(missing)}")
    print(f"{archive.name}: {len(held)} files, {archive.stat().st_size / 1e6:.2f} MB")


def check_wheel(wheel: Path) -> None:
    """Exit if anything is missing, or outside the one package."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    check_names(wheel, held, wanted())
    tops = {name.split("/")[0] for name in held}
    foreign = {top for top in tops if not re.fullmatch(r"dsmachine(-.*\.dist-info)?", top)}
    if foreign:
        sys.exit(f"error: {wheel.name} installs more than dsmachine: {', '.join(foreign)}")


def check_source(source: Path) -> None:
    """Exit if anything is missing, the licence among it."""
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    check_names(source, held, wanted() | {"LICENSE", "NOTICE", "README.md", "pyproject.toml"})


def version(python: str) -> tuple[int, ...] | None:
    """(major, minor) of an interpreter; None if it does not start, as a pyenv shim of a version that is not chosen."""
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return tuple(int(part) for part in done.stdout.split()) if done.returncode == 0 else None


def oldest() -> tuple[int, ...]:
    """What pyproject.toml asks for."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    return tuple(int(part) for part in asked.removeprefix(">=").split("."))


def interpreters(asked: list[str]) -> dict[tuple[int, ...], str]:
    """One interpreter for each (major, minor) that is new enough, those asked for or all that are found."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [sys.executable, *(f"python3.{minor}" for minor in range(11, 20))]
    found += [str(path) for path in sorted(home.glob("versions/*/bin/python3"))]
    chosen: dict[tuple[int, ...], str] = {}
    for python in asked or found:
        number = version(python) if shutil.which(python) else None
        if number is None and asked:
            sys.exit(f"error: {python} is no Python that starts: name another")
        if number is not None and number >= oldest():
            chosen.setdefault(number, python)
    return dict(sorted(chosen.items()))


def check_runs(python: str, archive: Path, folder: Path) -> None:
    """Install into an empty environment; relax a model, write a netlist and run commands outside the checkout."""
    folder.mkdir()
    bin_ = folder / "empty" / "bin"
    for command in (
        [python, "-m", "venv", folder / "empty"],
        [bin_ / "pip", "install", "-q", archive],
        [bin_ / "python", "-c", SMOKE],
        [bin_ / "dsmachine", "--version"],
        [bin_ / "dsmachine", "netlist", "tiny-shakespeare", "--tile", "h.0.mlp.c_fc[0:8,0:8]", "-o", "tile.cir"],
        [bin_ / "dsmachine", "place", "tiny-shakespeare"],
    ):
        subprocess.run([str(part) for part in command], check=True, cwd=folder, env=_clean(), stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)


def _clean() -> dict[str, str]:
    """The environment without what would show the checkout to the interpreter."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def main() -> None:
    """Build, look inside, then install and run under each Python."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, source = build(folder)
        check_wheel(wheel)
        check_source(source)
        for number, python in interpreters(sys.argv[1:]).items():
            for archive in (wheel, source):
                check_runs(python, archive, folder / "run")
            print(f"Python {'.'.join(map(str, number))}: wheel and source distribution install and run")


if __name__ == "__main__":
    main()
