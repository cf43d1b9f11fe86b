"""tngexp: an experiment platform for learned image compression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Codec", "__version__", "load", "restore"]

if TYPE_CHECKING:
    from tngexp.bitstream.codec_files import load
    from tngexp.hybrid.restore import restore
    from tngexp.model.codec import Codec


def __getattr__(name: str) -> Any:
    # torch takes a second to import: `tngexp.__version__` and `--help` should not wait for it.
    if name == "load":
        from tngexp.bitstream.codec_files import load

        return load
    if name == "Codec":
        from tngexp.model.codec import Codec

        return Codec
    if name == "restore":
        from tngexp.hybrid.restore import restore

        return restore
    raise AttributeError(f"module 'tngexp' has no attribute '{name}'")
