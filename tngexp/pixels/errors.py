"""What can be wrong with the pixels of an image."""

from __future__ import annotations

from tngexp.errors import TngexpError

__all__ = ["PixelWarning", "UnreadableImageError"]


class UnreadableImageError(TngexpError):
    """One image that cannot be decoded; the message is the reason, without the path."""


class PixelWarning(UserWarning):
    """Something that an image says and that the result does not; the message names the fix."""
