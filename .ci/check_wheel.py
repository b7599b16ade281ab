"""Build the wheel, look for every file that must be in it, import it from an empty place.

Without link support a wheel builds without the four folders and "succeeds": hence this check.
It goes through the source distribution, so that too must be whole.
"""

import subprocess
import sys
import tempfile
import venv
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
import dsmachine
from dsmachine import circuits, emulator, energy, netlists
print("imported", dsmachine.__version__, "from", dsmachine.__file__)
"""


def wanted() -> set[str]:
    """Names in the wheel of all modules and data files in the checkout."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    files += [file for pattern in DATA for file in ROOT.glob(pattern) if file.is_file()]
    names = {f"dsmachine/{file.relative_to(ROOT).as_posix()}" for file in files}
    packages = (ROOT / "dsmachine", ROOT / "dsmachine/commands", ROOT / "dsmachine/sweeps")
    own = {file.relative_to(ROOT).as_posix() for package in packages for file in package.glob("*.py")}
    return names | own | {"dsmachine/py.typed"}


def build(folder: Path) -> Path:
    """Return the wheel, built from the source distribution."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_content(wheel: Path) -> None:
    """Exit with the missing names, or with anything outside the one package."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    missing = sorted(wanted() - held)
    if missing:
        sys.exit(f"error: {wheel.name} lacks {len(missing)} files: {', '.join(missing)}")
    tops = {name.split("/")[0] for name in held}
    foreign = {top for top in tops if top != "dsmachine" and not top.endswith(".dist-info")}
    if foreign:
        sys.exit(f"error: {wheel.name} installs more than dsmachine: {', '.join(foreign)}")
    print(f"{wheel.name}: {len(held)} files, {wheel.stat().st_size / 1e6:.2f} MB")


def check_import(wheel: Path, folder: Path) -> None:
    """Install into an empty environment; import and run outside the checkout."""
    venv.create(folder / "empty", with_pip=True)
    bin_ = folder / "empty" / "bin"
    for command in (
        [bin_ / "pip", "install", "-q", wheel],
        [bin_ / "python", "-c", SMOKE],
        [bin_ / "dsmachine", "--version"],
    ):
        subprocess.run([str(part) for part in command], check=True, cwd=folder)


def main() -> None:
    """Run the three steps in a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        check_content(wheel)
        check_import(wheel, folder)


if __name__ == "__main__":
    main()
