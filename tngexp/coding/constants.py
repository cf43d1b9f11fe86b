"""The integers every entropy coder shares, fixed for ever: Φ, the scale grid, exp.

Two machines decode the same file only if these agree to the last bit, so they ship as data
(``constants.npz``) and are never computed by floating-point code. ``python -m
tngexp.coding.constants`` wrote that file, and the one of ``families.py``, with ``decimal``, whose
arithmetic, exp and ln are correctly rounded; a test runs the same functions and compares, another
pins the SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGITS",
    "EXP_BITS",
    "EXP_STEPS",
    "GRID",
    "INVERSE_BITS",
    "PHI_BITS",
    "PHI_RANGE",
    "PHI_STEPS",
    "SCALE_LEVELS",
    "SCALE_MIN",
    "SCALE_PER_OCTAVE",
    "Constants",
    "constants",
    "digest",
    "generate",
    "round_half_even",
    "scales",
]

GRID = 256  # positions (component means, cell edges) are integers in units of 1/256
PHI_BITS = 30  # Φ is stored times 2**30
PHI_STEPS = 128  # table nodes per unit of the standardised variable
PHI_RANGE = 8  # the table spans −8 … 8; Φ(−8) < 2**−50 is 0 on this scale long before
INVERSE_BITS = 32  # (x − m)/σ in fixed point with 32 fractional bits
SCALE_LEVELS = 256  # a scale index is one byte
SCALE_MIN = Decimal("0.11")  # Ballé et al. 2018
SCALE_PER_OCTAVE = (
    24  # levels 2.9 % apart: σ is off by 1.5 % at most, which costs 0.1 % rate at worst
)
WINDOW_SIGMAS = 6  # Φ(−6) ≈ 2**−30: beyond it a symbol's frequency would be the floor anyway
EXP_BITS = 24  # exp(−i/64) is stored times 2**24
EXP_STEPS = 64  # logits are integers in 1/64 nat
_EXP_ENTRIES = 1024  # down to exp(−16) ≈ 2**−23; smaller weights round to zero

_FILE = Path(__file__).with_name("constants.npz")
DIGITS = 60  # of the decimal arithmetic that computes the tables


class Constants(NamedTuple):
    """Tables indexed by scale level (256), Φ node (2049) or logit distance (1024)."""

    phi: NDArray[np.int32]  # (2049,) Φ(i/128 − 8) · 2**30
    inverse_scale: NDArray[np.int64]  # (256,) 2**32 / (256 σ)
    half_window: NDArray[np.int64]  # (256,) 6 σ in 1/256, rounded down
    exp: NDArray[np.int64]  # (1024,) exp(−i/64) · 2**24
    scale: NDArray[np.float64]  # (256,) σ, nearest double: for people and tests
    scale_edge: NDArray[np.float64]  # (255,) geometric midpoints between levels, nearest double


@lru_cache(maxsize=1)
def constants() -> Constants:
    """Return the shipped tables, read-only."""
    with np.load(_FILE, allow_pickle=False) as file:
        arrays = [file[name] for name in Constants._fields]
    for array in arrays:
        array.flags.writeable = False
    return Constants(*arrays)


def digest(tables: Iterable[NDArray[Any]]) -> str:
    """SHA-256 over the little-endian bytes of all tables, in field order."""
    sha = hashlib.sha256()
    for array in tables:
        sha.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()


def generate() -> Constants:
    """Compute the tables from their definitions in 60-digit decimal arithmetic (about 1 s)."""
    with localcontext() as context:
        context.prec = DIGITS
        upper = [_phi(Decimal(i) / PHI_STEPS) for i in range(PHI_RANGE * PHI_STEPS + 1)]
        half = [round_half_even(p * 2**PHI_BITS) for p in upper]
        phi = [2**PHI_BITS - p for p in reversed(half[1:])] + half
        scale = scales()
        edge = scales(Decimal("0.5"))[:-1]
        return Constants(
            phi=np.array(phi, np.int32),
            inverse_scale=np.array(
                [round_half_even(2**INVERSE_BITS / (GRID * s)) for s in scale], np.int64
            ),
            half_window=np.array([int(WINDOW_SIGMAS * GRID * s) for s in scale], np.int64),
            exp=np.array(
                [
                    round_half_even((Decimal(-i) / EXP_STEPS).exp() * 2**EXP_BITS)
                    for i in range(_EXP_ENTRIES)
                ],
                np.int64,
            ),
            scale=np.array([float(s) for s in scale]),
            scale_edge=np.array([float(s) for s in edge]),
        )


def scales(offset: Decimal = Decimal(0)) -> list[Decimal]:
    """0.11 · 2**((i + offset)/24), i = 0 … 255, to the digits of the current decimal context."""
    octave = Decimal(2).ln() / SCALE_PER_OCTAVE
    return [SCALE_MIN * (octave * (i + offset)).exp() for i in range(SCALE_LEVELS)]


def _phi(t: Decimal) -> Decimal:
    """Φ(t) for t ≥ 0: ½ + φ(t) Σ t^(2n+1)/(2n+1)!!, whose terms are all positive."""
    term, total, n = t, t, 1
    while term > Decimal(10) ** -(DIGITS - 10):
        n += 2
        term = term * t * t / n
        total += term
    return Decimal("0.5") + total * (-t * t / 2).exp() / (2 * _pi()).sqrt()


@lru_cache(maxsize=1)
def _pi() -> Decimal:
    """Machin 1706: π = 16 arctan(1/5) − 4 arctan(1/239)."""

    def arctan_of_inverse(n: int) -> Decimal:
        power, total, k = Decimal(1) / n, Decimal(0), 0
        while power > Decimal(10) ** -(DIGITS + 2):
            total += (-1) ** k * power / (2 * k + 1)
            power /= n * n
            k += 1
        return total

    return 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)


def round_half_even(x: Decimal) -> int:
    """Return the nearest integer, the even one of two equally near."""
    return int(x.to_integral_value(rounding=ROUND_HALF_EVEN))


if __name__ == "__main__":
    from tngexp.coding import families

    for path, tables in ((_FILE, generate()), (families.FILE, families.generate())):
        np.savez_compressed(path, **tables._asdict())
        print(f"{path}: {digest(tables)}")
