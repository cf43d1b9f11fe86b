"""One self-contained HTML file on which a person votes on pairs of pictures.

It knows pictures and opaque ids. What is behind them stays with whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tngexp.common.atomic import replacing
from tngexp.report.pictures import Pixels
from tngexp.report.template import plain, template

__all__ = ["Ballot", "BallotPair", "write_ballot"]

_SCRIPTS = ("figures.js", "page.js", "session.js", "ballot.js")


@dataclass(frozen=True, eq=False)
class BallotPair:
    """Two versions of a picture, all (H, W, 3)."""

    id: str
    group: int  # pairs of a group compare the same two codecs: sessions take as many of each
    original: NDArray[np.uint8]
    a: NDArray[np.uint8]
    b: NDArray[np.uint8]


@dataclass(frozen=True)
class Ballot:
    """What a page asks."""

    study: str  # id that results carry
    pairs: Sequence[BallotPair]
    catches: Sequence[BallotPair]  # a is the original, b plainly worse
    trials: int  # pairs in a session
    catch_trials: int  # catches in a session


def write_ballot(path: Path, ballot: Ballot) -> None:
    """Write the page, whole or not at all; it needs nothing beside it and no network.

    Pictures are lossless and stand in it once each: of 512×400 pixels at 0.15 bpp they took 0.19 MB
    on average, originals included.

    Args:
        path: the file to write; replaced if it exists, its folder is created.
        ballot: what is asked. All pictures are of one size.
    """
    pixels = Pixels()
    height, width, _ = ballot.pairs[0].original.shape
    page = {
        "study": ballot.study,
        "width": width,
        "height": height,
        "trials": ballot.trials,
        "catch_trials": ballot.catch_trials,
        "pairs": [_pair(pair, pixels) for pair in ballot.pairs],
        "catches": [_pair(pair, pixels) for pair in ballot.catches],
    }
    text = template("ballot.html").render(
        page_data=plain(page),
        total=ballot.trials + (ballot.catch_trials if ballot.catches else 0),
        pixels=pixels.uris,
        scripts=_SCRIPTS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _pair(pair: BallotPair, pixels: Pixels) -> dict[str, Any]:
    return {
        "id": pair.id,
        "group": pair.group,
        "original": pixels.add(pair.original),
        "a": pixels.add(pair.a),
        "b": pixels.add(pair.b),
    }
