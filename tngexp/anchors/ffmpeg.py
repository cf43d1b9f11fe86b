"""Finding and running ffmpeg: bytes in, bytes out."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence

from tngexp.anchors.base import AnchorError

__all__ = ["encoders", "ffmpeg_path", "ffmpeg_version", "missing_encoder", "run_ffmpeg"]

_TIMEOUT_S = 3600  # the slowest codec takes minutes for a large photo on a busy machine
_PACKAGE = "imageio-ffmpeg"


def ffmpeg_path() -> str | None:
    """The ffmpeg that comes with imageio-ffmpeg, else the one on PATH, else None."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[import-untyped]

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: installed without a binary
        return shutil.which("ffmpeg")


@functools.cache
def encoders(path: str) -> frozenset[str]:
    """Names of the encoders this ffmpeg has."""
    listing = _run(path, ["-encoders"]).stdout.decode(errors="replace")
    return frozenset(re.findall(r"^ V\S* +(\S+)", listing, flags=re.MULTILINE))


def missing_encoder(encoder: str) -> str | None:
    """None if ffmpeg has this encoder, else how to get it, without a subject."""
    path = ffmpeg_path()
    if path is None:
        return f"no ffmpeg found: pip install {_PACKAGE}"
    try:
        found = encoder in encoders(path)
    except AnchorError as error:  # IMAGEIO_FFMPEG_EXE may name anything
        return str(error)
    return None if found else f"{path} has no {encoder}: pip install --upgrade {_PACKAGE}"


@functools.cache
def ffmpeg_version(path: str, encoder: str) -> str:
    """Versions of ffmpeg, which decodes, and of the library behind an encoder."""
    first = _run(path, ["-version"]).stdout.decode(errors="replace").split("\n", 1)[0]
    found = re.match(r"ffmpeg version (\S+)", first)
    program = f"ffmpeg {found[1] if found else 'unknown'}"
    # Libraries name their version while they code, and nowhere else.
    black = ["-f", "lavfi", "-i", "color=black:size=64x64", "-frames:v", "1", "-c:v", encoder]
    log = _run(path, ["-loglevel", "verbose", *black, "-f", "null", "-"]).stderr.decode()
    found = re.search(r"(?:encoder version|libvvenc version:) *(\S+)", log)
    library = encoder.removeprefix("lib")
    return f"{program}, {library} {found[1] if found else 'unknown'}"


def run_ffmpeg(arguments: Sequence[str], data: bytes, task: str) -> bytes:
    """What ffmpeg writes to its standard output, given ``data`` as its standard input.

    Args:
        arguments: with ``pipe:0`` and ``pipe:1`` for input and output.
        data: the input.
        task: for messages, e.g. "encode with libx265".

    Raises:
        AnchorError: with ffmpeg's own message when it fails.
    """
    path = ffmpeg_path()
    if path is None:
        raise AnchorError(f"cannot {task}: no ffmpeg found: pip install {_PACKAGE}")
    result = _run(path, ["-loglevel", "error", *arguments], data)
    if result.returncode or not result.stdout:
        # The first line is the cause; what follows is how it went up through ffmpeg's layers.
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        cause = re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] *)+", "", lines[0]) if lines else "no output"
        raise AnchorError(f"ffmpeg cannot {task}: {cause} (exit status {result.returncode})")
    return result.stdout


def _run(
    path: str, arguments: Sequence[str], data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [path, "-hide_banner", *arguments]
    try:
        return subprocess.run(
            command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AnchorError(f"{path} ran longer than {_TIMEOUT_S} s; it was stopped") from error
    except OSError as error:
        raise AnchorError(f"cannot run {path}: {error.strerror}") from error
