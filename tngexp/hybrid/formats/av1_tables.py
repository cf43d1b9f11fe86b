"""AV1's quantizer steps (Ac_Qlookup of §7.12.2) and matrices (§9.5.3), in short."""

from __future__ import annotations

from itertools import accumulate, pairwise

__all__ = ["AC_STEPS", "CHROMA_WEIGHTS", "LUMA_WEIGHTS"]

# For 8 bits, steps rise by so much, so many times.
_RISES = (
    *((4, 1), (1, 94), (2, 25), (3, 17), (4, 13), (5, 10), (6, 9), (7, 7), (8, 6), (9, 6)),
    *((10, 5), (11, 5), (12, 4), (13, 4), (14, 4), (15, 3), (16, 3), (17, 3), (18, 3), (19, 3)),
    *((20, 2), (21, 3), (22, 2), (23, 2), (24, 2), (25, 2), (26, 2), (27, 2), (28, 2), (29, 2)),
    *((30, 2), (31, 1), (32, 2), (33, 1), (34, 2), (35, 1)),
)

# For 10 and 12 bits, (index, step) where lines between them are within 1 % of the table.
_KNOTS = {
    10: (
        *((0, 4), (1, 9), (3, 13), (4, 16), (5, 18), (10, 33), (16, 55), (27, 100), (88, 371)),
        *((96, 409), (121, 616), (139, 841), (153, 1078), (165, 1338), (179, 1727), (193, 2239)),
        *((207, 2915), (221, 3803), (235, 4972), (249, 6512), (255, 7312)),
    ),
    12: (
        *((0, 4), (1, 13), (2, 19), (4, 35), (5, 44), (7, 64), (10, 99), (14, 154), (19, 230)),
        *((32, 456), (96, 1627), (121, 2459), (139, 3362), (153, 4310), (165, 5352), (178, 6778)),
        *((193, 8956), (207, 11661), (221, 15213), (235, 19886), (249, 26047), (255, 29247)),
    ),
}


def _lines(knots: tuple[tuple[int, int], ...]) -> list[float]:
    """Values at 0, 1, … of the lines through ``knots``."""
    values = [float(knots[0][1])]
    for (first, low), (last, high) in pairwise(knots):
        slope = (high - low) / (last - first)
        values += [low + slope * step for step in range(1, last - first + 1)]
    return values


AC_STEPS: dict[int, list[float]] = {
    8: list(accumulate((float(rise) for rise, times in _RISES for _ in range(times)), initial=4.0)),
    **{depth: _lines(knots) for depth, knots in _KNOTS.items()},
}
"""By depth in bits and quantizer index, in eighths of a level of that depth."""

LUMA_WEIGHTS = (
    *(2.80, 2.61, 2.46, 2.28, 2.12, 1.97, 1.74, 1.57),
    *(1.42, 1.28, 1.17, 1.07, 1.02, 1.00, 0.99, 1.00),
)
"""What a quantizer matrix multiplies steps by, by its level: the geometric mean over the AC
coefficients of blocks of 8×8. Level 15 is no matrix."""

CHROMA_WEIGHTS = (
    *(2.09, 2.02, 1.97, 1.89, 1.81, 1.75, 1.64, 1.56),
    *(1.49, 1.42, 1.36, 1.28, 1.16, 1.03, 0.97, 1.00),
)
