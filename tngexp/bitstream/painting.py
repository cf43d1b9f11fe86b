"""From a decoded latent to pixels, at any look."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from tngexp.bitstream.looks import Look, check_look, read_look
from tngexp.model.codec import Codec
from tngexp.transforms.noise import common_noise
from tngexp.types import ConfigError, Noise

__all__ = ["Painter", "Painters", "drawn_field"]

_KEPT = 4  # the latest used; each is as large as the codec's own synthesis


class Painter(NamedTuple):
    """What makes pixels of a decoded latent."""

    synthesis: nn.Module
    noise: Noise | None


@final
class Painters:
    """The painters of a codec at its looks, made when first asked for; the latest few are kept.

    Args:
        codec: whose weights must not change meanwhile.
        fingerprint: the four bytes by which its files name it.
        look: its second synthesis, or the file of it; None for a codec without one.
    """

    def __init__(self, codec: Codec, fingerprint: bytes, look: Look | Path | None) -> None:
        self._codec, self._fingerprint, self._look = codec, fingerprint, look
        self._checked = False
        self._made: OrderedDict[float, Painter] = OrderedDict()

    def look(self) -> Look | None:
        """The second synthesis; read and checked when it is first wanted.

        Raises:
            CheckpointError: for an unusable file, or a look of another codec.
        """
        if isinstance(self._look, Path):
            self._look = read_look(self._look)
        if self._look is not None and not self._checked:
            self._look.check(self._codec, self._fingerprint)
            self._checked = True
        return self._look

    @torch.no_grad()
    def at(self, share: float) -> Painter:
        """The codec's own painter at 0, that of the look at 1, between them weights between theirs.

        Raises:
            ConfigError: for a number outside of 0 … 1, or a codec without a look.
            CheckpointError: for an unusable look.
        """
        share = check_look(share)
        if share == 0:
            return Painter(self._codec.transform.synthesis, self._codec.noise)
        if share not in self._made:
            look = self.look()
            if look is None:
                raise ConfigError(
                    f"look={share:g}: this codec has no look but its own, 0. Name a look's file, "
                    "tngexp.load(…, look=FILE) or --look-from FILE; docs/how-to/train-a-look.md "
                    "tells how to train one"
                )
            self._made[share] = self._between(look, share)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(share)
        return self._made[share]

    def _between(self, look: Look, share: float) -> Painter:
        own = self._codec.transform.synthesis
        synthesis = copy.deepcopy(own).requires_grad_(False)
        synthesis.load_state_dict(_between(own.state_dict(), look.synthesis, share))
        kind = self._codec.noise if look.noise is None else look.noise
        if kind is None:
            return Painter(synthesis, None)
        zero = {name: torch.zeros_like(t) for name, t in kind.state_dict().items()}
        first, last = (
            zero if noise is None else noise.state_dict()
            for noise in (self._codec.noise, look.noise)
        )
        noise = copy.deepcopy(kind).requires_grad_(False)
        noise.load_state_dict(_between(first, last, share))
        return Painter(synthesis, noise.to(next(own.parameters()).device))


def drawn_field(
    noise: Noise | None, streams: Sequence[bytes], size: tuple[int, int]
) -> Tensor | None:
    """The noise (1, channels, h, w) of a file; None where none is wanted.

    Its seed is a hash of the streams that hold the latent: known before anything is decoded, the
    same however a picture is then computed, and free of what a file says beside its picture, so
    that a rewritten colour profile or orientation leaves the pixels as they are. The field is of
    the whole latent; windows take their parts of it.

    Args:
        noise: what wants it.
        streams: of the latent, in the order of their tiles.
        size: (h, w).
    """
    if noise is None:
        return None
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(len(stream).to_bytes(8, "little"))
        digest.update(stream)
    return common_noise(int.from_bytes(digest.digest()[:16], "little"), noise.channels, *size)


def _between(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """(1 − share)·first + share·last, exactly ``last`` at 1; what are no numbers, of ``first``."""
    return {
        name: torch.lerp(t, last[name].to(t), share) if t.is_floating_point() else t
        for name, t in first.items()
    }
