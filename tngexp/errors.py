"""What is the user's to fix; apart from ``types``, for whatever does without torch."""

from __future__ import annotations

__all__ = ["CheckpointError", "ConfigError", "TngexpError"]


class TngexpError(Exception):
    """Base of every error that is the user's to fix; entry points print it without a traceback."""


class CheckpointError(TngexpError):
    """A checkpoint that is missing, damaged, foreign, or of another architecture."""


class ConfigError(TngexpError):
    """A configuration that cannot work; the message names the option and the fix."""
