"""What a run ends with, in volts, and whatever else is on a device until it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..circuits.named import unknown
from .plan import Plan

Array = Any


class Volts(Mapping[str, Array]):
    """Volts (batch, *shape) of each free array of some logical values, fetched from the device when asked for."""

    def __init__(self, plan: Plan, x: Mapping[str, Array]) -> None:
        self._host, self._units = plan.backend.host, plan.circuit.units
        self._names = [n for n, node in plan.circuit.arrays.items() if not node.clamped]
        self._x = {name: x[name] for name in self._names}
        self._volts: dict[str, Array] = {}
        self._what = f"free array of circuit {plan.circuit.name!r}"

    def __getitem__(self, name: str) -> Array:
        if name not in self._volts:
            if name not in self._x:
                raise unknown(name, self._names, self._what)
            self._volts[name] = self._host(self._x.pop(name)) * self._units(name)
        return self._volts[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._names)})"

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Fetched(Mapping[str, Array]):
    """Arrays of a device by name, on the host when asked for; there: where they were computed; what: they are."""

    def __init__(self, host: Callable[[Array], Array], there: Mapping[str, Array], what: str) -> None:
        self._host, self.there, self._what = host, there, what

    def __getitem__(self, name: str) -> Array:
        if name not in self.there:
            raise unknown(name, self.there, self._what)
        return self._host(self.there[name])

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __iter__(self) -> Iterator[str]:
        return iter(self.there)

    def __contains__(self, name: object) -> bool:
        return name in self.there

    def __len__(self) -> int:
        return len(self.there)
