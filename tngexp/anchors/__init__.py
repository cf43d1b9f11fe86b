"""Conventional codecs behind one interface: what a learned one is compared with."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from tngexp.anchors import bpg, intra, pillow
from tngexp.anchors.base import Anchor, AnchorError
from tngexp.types import ConfigError

__all__ = ["ANCHORS", "Anchor", "AnchorError", "anchor"]

ANCHORS: dict[str, Callable[[], Anchor]] = {
    "jpeg": pillow.jpeg,
    "jpeg444": pillow.jpeg444,
    "jpeg2000": pillow.jpeg2000,
    "webp": pillow.webp,
    "avif": pillow.avif,
    "jxl": pillow.jxl,
    "bpg": bpg.bpg,
    "hevc": intra.hevc,
    "vvc": intra.vvc,
}
"""Name → what makes the codec; one that is missing on this machine is made, too."""


def anchor(name: str) -> Anchor:
    """The codec of a name.

    Raises:
        ConfigError: for a name that is none of :data:`ANCHORS`.
    """
    if name not in ANCHORS:
        close = difflib.get_close_matches(name, ANCHORS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ConfigError(
            f"there is no anchor called '{name}'.{hint} Anchors: {', '.join(ANCHORS)}"
        )
    return ANCHORS[name]()
