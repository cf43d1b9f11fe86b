"""Families of distributions beside the Gaussian: their CDFs as tables of integers.

A family is a CDF F((x − m)/s) on the scale grid of ``constants.py``: s is σ of a Gaussian, b of a
Laplace distribution (density exp(−|t|/b)/2b), s of a logistic one (CDF 1/(1 + exp(−t/s))). The
kernels see a family only as its tables, so all of them cost the same.

Exponential tails fall to 2**−30 after 21 scales, where Φ needs 6. The tables of both families have
as many nodes as Φ's over −8 … 8, but in units of three scales: −24 … 24 scales, 3/128 apart.
Linear interpolation then misses an exponential tail by 0.007 %. The middle node is t = 0, where the
density of the Laplace distribution has its kink.

The tables ship in ``families.npz``, apart from ``constants.npz``, and are made and tested alike.
The same file holds the logarithms with which codewords are weighed (``codebook.py``).
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tngexp.coding.constants import (
    DIGITS,
    GRID,
    INVERSE_BITS,
    PHI_BITS,
    PHI_RANGE,
    PHI_STEPS,
    constants,
    round_half_even,
    scales,
)

__all__ = [
    "FAMILIES",
    "FILE",
    "LOG_BITS",
    "LOG_STEP_BITS",
    "Family",
    "FamilyTables",
    "family_tables",
    "find_family",
    "generate",
]

FAMILIES = ("gaussian", "laplace", "logistic")
FILE: Path = Path(__file__).with_name("families.npz")
LOG_BITS = 16  # logarithms are stored in 1/65536 nat
LOG_STEP_BITS = 10  # of a mantissa: off by 1/2048 nat, a thirtieth of what exp's grid rounds away
_UNIT = 3  # scales in one unit of a table: the range of 8 units lies past the 2**−30 tail
_WINDOW = 21  # scales: the logistic tail exp(−20.8), the Laplace tail exp(−20.1)/2 are 2**−30


class FamilyTables(NamedTuple):
    """What ``families.npz`` holds."""

    laplace: NDArray[np.int32]  # (2049,) CDF · 2**30 at 3 (i/128 − 8) scales
    logistic: NDArray[np.int32]  # (2049,) likewise
    inverse_scale: NDArray[np.int64]  # (256,) 2**32 / (256 · 3 s)
    half_window: NDArray[np.int64]  # (256,) 21 s in 1/256, rounded down
    log: NDArray[np.int64]  # (1025,) ln(1 + i/1024) · 2**16


class Family(NamedTuple):
    """The tables by which the kernels know a family."""

    inverse_scale: NDArray[np.int64]  # (256,) 2**32 / (256 · one unit of the nodes)
    half_window: NDArray[np.int64]  # (256,) reach of the window of codable symbols, in 1/256
    nodes: NDArray[np.int32]  # (2049,) CDF · 2**30 over −8 … 8 units


@lru_cache(maxsize=1)
def family_tables() -> FamilyTables:
    """Return the shipped tables, read-only."""
    with np.load(FILE, allow_pickle=False) as file:
        arrays = [file[name] for name in FamilyTables._fields]
    for array in arrays:
        array.flags.writeable = False
    return FamilyTables(*arrays)


def find_family(name: str) -> Family:
    """Return the tables of the family called ``name``; ValueError where there is none."""
    if name == "gaussian":
        shared = constants()
        return Family(shared.inverse_scale, shared.half_window, shared.phi)
    if name not in FAMILIES:
        raise ValueError(f"no family is called {name!r}; known are {', '.join(FAMILIES)}")
    tables = family_tables()
    nodes = tables.laplace if name == "laplace" else tables.logistic
    return Family(tables.inverse_scale, tables.half_window, nodes)


def generate() -> FamilyTables:
    """Compute the tables from their definitions in 60-digit decimal arithmetic (about 0.1 s)."""
    with localcontext() as context:
        context.prec = DIGITS
        nodes = range(PHI_RANGE * PHI_STEPS + 1)
        tail = [(Decimal(-_UNIT * i) / PHI_STEPS).exp() for i in nodes]
        log_steps = 1 << LOG_STEP_BITS
        grid = scales()
        return FamilyTables(
            laplace=_symmetric([p / 2 for p in tail]),
            logistic=_symmetric([p / (1 + p) for p in tail]),
            inverse_scale=np.array(
                [round_half_even(2**INVERSE_BITS / (GRID * _UNIT * s)) for s in grid], np.int64
            ),
            half_window=np.array([int(_WINDOW * GRID * s) for s in grid], np.int64),
            log=np.array(
                [
                    round_half_even((1 + Decimal(i) / log_steps).ln() * 2**LOG_BITS)
                    for i in range(log_steps + 1)
                ],
                np.int64,
            ),
        )


def _symmetric(tail: list[Decimal]) -> NDArray[np.int32]:
    """CDF · 2**30 over both sides, from the mass beyond each node t ≥ 0."""
    beyond = [round_half_even(p * 2**PHI_BITS) for p in tail]
    return np.array(beyond[:0:-1] + [2**PHI_BITS - p for p in beyond], np.int32)
