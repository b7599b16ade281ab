"""What a transient is asked to do, checked before any work is done; options its engine would ignore are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..circuits import checks
from ..circuits.errors import Error, shown

METHODS = ("elements", "stepper")
OF_ELEMENTS = ("tolerance", "accuracy", "points", "elements")
OF_STEPPER = ("step",)
OF_NOISE = ("read_window", "samples")
WITHOUT_NOISE = ("duration", "settle_bits")
POSITIVE = {
    "duration": "give seconds, above 0",
    "read_window": "give seconds, above 0",
    "step": "give a share of the shortest time constant, above 0, such as 0.25",
}
COUNTS = {"samples": (1, 10**6), "points": (2, 20)}
LOOSER = 30.0  # accuracy="settling": tolerance on the way, as a multiple
TOLERANCE = 1e-4
SHORT = {"waveform": 2.0, "settling": 8.0}  # how long elements are at first, at most, in the longest time constant
GROWTH = {"waveform": 1.0, "settling": 0.5}  # length of a window that grows, in the time since the start


@dataclass(frozen=True)
class Request:
    """The options of `transient` as given (None: not given); see there."""

    noise: str | float = "off"
    noise_seed: int = 0
    method: str | None = None
    duration: float | None = None
    settle_bits: float | None = None
    read_window: float | None = None
    samples: int | None = None
    tolerance: float | None = None
    accuracy: str | None = None
    points: int | None = None
    elements: Any = None
    step: float | None = None

    def __post_init__(self) -> None:
        checked_noise(self.noise, self.noise_seed)
        chosen_method(self.noise, self.method, vars(self))
        for name, fix in POSITIVE.items():
            value = getattr(self, name)
            if value is not None:
                checks.number(name, value, fix, above=0)
        for name, (least, most) in COUNTS.items():
            value = getattr(self, name)
            if value is not None:
                checks.whole(name, value, least, most)
        if self.elements is not None:
            checks.ascending("elements", self.elements, above=0.0)
        bits: Any = self.settle_bits
        unwatched = isinstance(bits, Real) and bits == 0
        if not unwatched:
            checked_bits(bits)
        if unwatched and self.duration is None and self.elements is None:
            raise Error("settle_bits=0 watches no settling: give a duration")
        if self.accuracy is not None and not checks.among(self.accuracy, ("waveform", "settling")):
            raise Error(f"accuracy {shown(self.accuracy)} is unknown: use 'waveform' or 'settling'")
        if self.tolerance is not None:
            fix = "it is a share of full scale, 1e-12 … 0.5"
            checks.number("tolerance", self.tolerance, fix, least=1e-12, most=0.5)

    @property
    def noisy(self) -> bool:
        return self.noise != "off"

    @property
    def engine(self) -> str:
        """ "elements" or "stepper"."""
        return chosen_method(self.noise, self.method, {})

    @property
    def needs_rest(self) -> bool:
        """Whether the operating point is wanted: to watch settling, to size steps, to read noise against."""
        return self.settle_bits != 0 or self.noisy or self.engine == "stepper"

    @property
    def relaxes(self) -> bool:
        """Whether a machine just settles, by elements under error control."""
        return self.engine == "elements" and self.duration is None and self.elements is None and not self.noisy

    @property
    def local_tolerance(self) -> float:
        """What an element's error is held under."""
        tolerance = TOLERANCE if self.tolerance is None else self.tolerance
        return tolerance * (LOOSER if self.accuracy == "settling" else 1.0)

    @property
    def first_element(self) -> float:
        """Length with which elements begin, in the longest time constant.

        At the start all nodes move, by less than the tolerance where a layer waits for its front; its norms divide by
        next to nothing then, and what a longer element garbles is amplified by them.
        """
        return SHORT[self.accuracy or "waveform"]

    @property
    def growing(self) -> bool:
        """Whether windows begin with one element; at "settling" they are long, which saves a GPU launches."""
        return self.accuracy != "settling"

    @property
    def growth(self) -> float:
        """How long a window that grows is, in the time since the start; see `windows.py`."""
        return GROWTH[self.accuracy or "waveform"]

    @property
    def collocation_points(self) -> int:
        """Points of an element: as asked, or those that need the least work at the tolerance."""
        return self.points or (6 if self.local_tolerance >= 1e-4 else 8)


def chosen_method(noise: str | float, method: str | None, options: Mapping[str, Any]) -> str:
    """ "elements" or "stepper": what `method` says, else what the noise needs. `options`: None where not given."""
    noisy = not checks.among(noise, ("off",))
    if method is not None and not checks.among(method, METHODS):
        raise Error(f"method {shown(method)} is unknown: use {' or '.join(METHODS)}")
    if noisy and method == "elements":
        raise Error(f"method 'elements' cannot follow noise {noise!r}: leave method out, or set noise='off'")
    chosen = method or ("stepper" if noisy else "elements")
    _refuse(options, OF_STEPPER if chosen == "elements" else OF_ELEMENTS, f"method {chosen!r}")
    if noisy:
        _refuse(options, WITHOUT_NOISE, f"noise {noise!r} (it runs for read_window seconds)")
    else:
        _refuse(options, OF_NOISE, "noise 'off'")
    return chosen


def checked_bits(settle_bits: float | None) -> float:
    """Bits to which a run settles, 8 by default."""
    bits = 8 if settle_bits is None else settle_bits
    fix = "choose bits above 0, up to 40 (8: within 1/256 of full scale; 0: in transient, with a duration)"
    checks.number("settle_bits", bits, fix, above=0, most=40)
    return bits


def checked_noise(noise: Any, seed: Any) -> None:
    """Raises Error for noise that is not "off", "thermal" or σ in 0 … 1, and for a seed that is none."""
    known = noise in ("off", "thermal") if isinstance(noise, str) else isinstance(noise, float) and 0 < noise < 1
    if not known:
        raise Error(f"noise {noise!r} is unknown: use 'off', 'thermal' or σ in 0 … 1 (0.01: 1 % of full scale)")
    checks.seed("noise_seed", seed)


def _refuse(options: Mapping[str, Any], names: tuple[str, ...], by: str) -> None:
    for name in names:
        if options.get(name) is not None:
            raise Error(f"{name}={options[name]!r} would be ignored by {by}: leave it out")
