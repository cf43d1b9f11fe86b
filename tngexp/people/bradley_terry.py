"""Strengths of codecs from votes on pairs, and how far other votes would have moved them.

Bradley & Terry 1952: i is chosen over j with probability σ(sᵢ − sⱼ). Intervals come from
resampling, so the functions take many sets of votes at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import maximum_flow  # type: ignore[import-untyped]

__all__ = ["FEW", "differences", "interval", "links", "resampled"]

Wins = NDArray[np.float64]  # (…, n, n): how often the row was chosen over the column
Reals = NDArray[np.float64]

FEW = 5
"""Participants below which their votes are resampled instead of them: see :func:`resampled`."""

_ITERATIONS = 20_000
_CLOSE = 1e-9  # largest relative change of a strength in the last iteration


def differences(wins: Wins) -> Reals:
    """sᵢ − sⱼ of maximum likelihood, (R, n, n), of ``wins`` (R, n, n).

    Where i has a chain of wins to j and j none to i, the likelihood grows with sᵢ − sⱼ without end
    (Ford 1957): the difference is +∞, and −∞ the other way round. Where neither has one, the votes
    say nothing of the two: NaN.
    """
    beats = wins > 0
    for k in range(wins.shape[1]):  # Warshall
        beats = beats | (beats[:, :, k : k + 1] & beats[:, k : k + 1, :])
    both = beats & beats.swapaxes(1, 2)
    # At the limit, votes between parts that only ever win against each other tell nothing of
    # the differences inside of a part.
    score = np.log(_strengths(np.where(both, wins, 0.0)))
    result = score[:, :, None] - score[:, None, :]
    result = np.where(beats & ~both, np.inf, result)
    result = np.where(beats.swapaxes(1, 2) & ~both, -np.inf, result)
    unknown = ~(beats | beats.swapaxes(1, 2))
    unknown[:, range(wins.shape[1]), range(wins.shape[1])] = False
    return np.where(unknown, np.nan, result)


def _strengths(wins: Wins) -> Reals:
    """exp(sᵢ), (R, n), by the MM algorithm of Hunter 2004, equation 3; 1 for who has no votes."""
    votes = wins + wins.swapaxes(1, 2)
    won = wins.sum(2)
    strength = np.ones(won.shape)
    for _ in range(_ITERATIONS):
        shares = (votes / (strength[:, :, None] + strength[:, None, :])).sum(2)
        new = np.divide(won, shares, out=np.ones(won.shape), where=shares > 0)
        # Parts that do not meet drift apart otherwise; within a part only ratios matter.
        new /= np.exp(np.log(new).mean(1, keepdims=True))
        change = np.abs(new / strength - 1).max()
        strength = new
        if change < _CLOSE:
            break
    return strength


def resampled(wins: Wins, count: int, seed: int) -> Wins:
    """Votes as they might have been, (count, n, n): the bootstrap (Efron 1979).

    Votes of a person are alike, so it is people that are drawn, each with all their votes. Of fewer
    than :data:`FEW` there are too few different draws for that: their votes are drawn then, and
    the intervals hold for these people alone.

    Args:
        wins: of each participant, (P, n, n).
        count: how many sets of votes.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    people, n, _ = wins.shape
    if people < FEW:
        total = wins.sum(0).ravel()
        drawn = random.multinomial(int(total.sum()), total / total.sum(), size=count)
        return drawn.reshape(count, n, n).astype(np.float64)
    weights = random.multinomial(people, [1 / people] * people, size=count)
    result: Wins = np.einsum("rp,pij->rij", weights.astype(np.float64), wins)
    return result


def interval(values: Reals, units: int, level: float = 0.95) -> tuple[float, float]:
    """Between which values lies what ``values`` (R,), of resampled votes, estimate; at ``level``.

    The percentiles are spread to those of Hesterberg 2015, "expanded percentile": of few units the
    bootstrap varies too little, by √((n − 1)/n), and by a normal law where Student's t belongs. Of
    5 participants it would cover the truth in four of five cases and not in 95 %.

    NaN counts against both ends: votes that say nothing may as well have said anything.

    Args:
        values: one of each resampled set of votes.
        units: what was resampled, so many of them: participants or votes.
        level: of the interval.
    """
    from scipy.stats import norm, t  # type: ignore[import-untyped]  # slow

    if units < 2:
        return -np.inf, np.inf
    spread = np.sqrt(units / (units - 1)) * t.ppf((1 - level) / 2, units - 1)
    beyond = int(norm.cdf(spread) * len(values))
    low = np.sort(np.where(np.isnan(values), -np.inf, values))[beyond]
    high = np.sort(np.where(np.isnan(values), np.inf, values))[len(values) - 1 - beyond]
    return float(low), float(high)


def links(wins: Wins) -> NDArray[np.int64]:
    """How many votes hold two codecs together, (n, n), of ``wins`` (n, n).

    It is the least number of votes without which nothing would connect them, directly or through
    others: the minimum cut, which is the maximum flow (Ford & Fulkerson 1956).
    """
    votes = csr_matrix((wins + wins.T).astype(np.int32))
    n = len(wins)
    result = np.zeros((n, n), dtype=np.int64)
    for i in range(n):
        for j in range(i):
            result[i, j] = result[j, i] = maximum_flow(votes, i, j).flow_value
    return result
