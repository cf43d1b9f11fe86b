"""The one error a reader of files has to expect."""

from __future__ import annotations

from tngexp.errors import TngexpError

__all__ = ["BitstreamError"]


class BitstreamError(TngexpError):
    """Bytes that are not a readable ``.tng`` file or stream: foreign, damaged or hostile."""
