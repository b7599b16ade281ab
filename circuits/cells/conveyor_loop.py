"""Poles of a conveyor of transistors, and what its noise is behind them.

Its input x is held by two paths (`mos/follower.py`): the regulated gate of M1, whose current the mirrors bring to the
output late, and in class AB the driven sinks, whose current their copies bring there at once. With y = r_x (L + sC) of
the conductance L and the capacitance C at x, as shares of 1/r_x,

    D = ρ/(1 + sτ_g) + κ + π/(1 + sτ_p) + y,       ρ + κ + π = 1        κ: M1's own transconductance, π: the sinks'
    N = (1 + sμ/2)/(1 + sμ),    M = N / ((1 + sμ)(1 + sk))              copies, mirrors: one, and one or two in a row

    signal       H = (M (ρ/(1 + sτ_g) + κ) + N π/(1 + sτ_p)) / D
    amplifier    E = (M y − (N − M) π/(1 + sτ_p)) / ((1 + sτ_g) D)
    sinks'       P = (N y + (N − M) (ρ/(1 + sτ_g) + κ)) / ((1 + sτ_p) D)

Current noise of the copies, G_n, has its share m behind the mirrors; voltage noise of both amplifiers together is
4kT·R, R = r_x + R_n, the sinks' share of it p. In place of G_n + R (αL)², which it is far under all poles,

    G(ω) = G_n (1 − m + m |M|²) + R (c/r_x)² ((1 − p) |E|² + p |P|²)

Class A has π = p = 0: D is a pole pair, ω₀² = (1 + r_x L)/(r_x C τ_g), ω₀/Q = 1/τ_g + (κ + r_x L)/(r_x C), and y a
zero, the amplifier's voltage across C: it peaks. In class AB what the sinks' amplifier makes leaves twice, through the
copies at once and through M1 late: at low frequency that cancels, N = M, above it does not.

A cell states its noise as the white one of equal variance in its node: of a transfer X, in a node of τ,

    ∫ |X|² dω / (1 + ω²τ²)  /  ∫ dω / (1 + ω²τ²)                        in closed form: `rational.py`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .channel import time_constant
from .rational import Polynomial, lag, power, product, scaled, total, trimmed

Array = Any
Transfer = tuple[Polynomial, Polynomial]


@dataclass(frozen=True)
class ConveyorLoop:
    """Times [s] and shares of a conveyor, which are also those of a node's two, as a simulator measured them
    (`netlists/conveyor_loops.py`); all 0: no poles.

    regulation τ_g, own κ; push π and pushing τ_p of the driven sinks, pushed p; mirror μ, cascode k; input r_x C;
    mirrored m; more: r_x times what couplings conduct at x beside the L that their node knows; error: rms of what the
    law is off the spectra that were measured, relative.
    """

    regulation: float = 0.0
    own: float = 0.0
    push: float = 0.0
    pushing: float = 0.0
    pushed: float = 0.0
    mirror: float = 0.0
    cascode: float = 0.0
    input: float = 0.0
    mirrored: float = 0.0
    more: float = 0.0
    error: float = 0.0

    def wired(self, ohms: float, farads: float, siemens: float = 0.0) -> ConveyorLoop:
        """With so much more capacitance, and conductance, at x, behind r_x of so many ohms."""
        return replace(self, input=self.input + ohms * farads, more=self.more + ohms * siemens)

    @property
    def mirrors(self) -> Transfer:
        """M."""
        return trimmed([1.0, self.mirror / 2]), product(lag(self.mirror), lag(self.mirror), lag(self.cascode))

    def transfers(self, load: Array) -> dict[str, Transfer]:
        """signal, amplifier, sinks, and impedance of x over r_x; load: r_x L."""
        gate, pushed, (mirrors, late) = lag(self.regulation), lag(self.pushing), self.mirrors
        copies = product(mirrors, lag(self.mirror), lag(self.cascode))
        apart = total(copies, product([-1.0], mirrors))
        loaded = [load + self.more, self.input]
        regulated = total([1 - self.own - self.push], product([self.own], gate))
        d = total(product(regulated, pushed), product([self.push], gate), product(loaded, gate, pushed))
        below = product(d, late)
        signal = total(product(mirrors, regulated, pushed), product([self.push], copies, gate))
        amplifier = total(product(mirrors, loaded, pushed), product([-self.push], apart))
        sinks = total(product(copies, loaded, gate), product(apart, regulated))
        return {
            "signal": (signal, below), "amplifier": (amplifier, below), "sinks": (sinks, below),
            "impedance": (product(gate, pushed), d),
        }  # fmt: skip

    def siemens(
        self, conductance: float, ohms: float, slope: float, load: Array, share: Callable[[Transfer], Array]
    ) -> Array:
        """G [S]: conductance G_n [S], ohms R [Ω], slope c/r_x [S], load r_x L; share of white noise behind a transfer:
        what a node is left with (`left`), or |X|² at a frequency."""
        paths = self.transfers(load)
        amplifiers = (1 - self.pushed) * share(paths["amplifier"]) + self.pushed * share(paths["sinks"])
        copies = 1 - self.mirrored + self.mirrored * share(self.mirrors)
        return conductance * copies + ohms * slope**2 * amplifiers

    def passed(self, load: Array, seconds: Array) -> Array:
        """Share of white noise that arrives at x which a node of τ is left with, beside α² of that load."""
        return left(self.transfers(load)["signal"], seconds) * (1 + load) ** 2


def left(transfer: Transfer, seconds: Array) -> Array:
    """Variance of white noise behind a transfer, in a node of τ, over that of the node alone."""
    above, below = (scaled(each, seconds) for each in transfer)
    return 2 * power(above, product(below, [1.0, 1.0]))


def noise_of(node: Any, load: Array) -> Array:
    """G [S] of a node's conveyor as the capacitor sees it; load [S]: L at its input. τ is that of γ = `ratio`."""
    resistance, ohms = node.input_resistance, node.input_resistance + node.noise_ohms
    if not node.loop or not resistance:
        return node.noise_siemens + ohms * (load * node.attenuation(load)) ** 2
    slope, share = node.current_gain / resistance, partial(left, seconds=time_constant(node))
    return node.loop.siemens(node.noise_siemens, ohms, slope, resistance * load, share)


def share_of(node: Any, load: Array) -> Array:
    """Share of a noise density at the input of a node's conveyor that its capacitor sees."""
    share = node.attenuation(load) ** 2
    if not node.loop or not node.input_resistance:
        return share
    return share * node.loop.passed(node.input_resistance * load, time_constant(node))
