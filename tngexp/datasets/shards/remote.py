"""Files behind a URL as streams of bytes, with fsspec: https, s3, gs, hf and what else it knows."""

from __future__ import annotations

import io
import os
import re
from typing import Any

from tngexp.datasets.images import DataError

__all__ = ["is_url", "open_url"]

# Chained ones, such as filecache::s3://…, included.
_URL = re.compile(r"([a-z][a-z0-9+.-]*::)*(?P<scheme>[a-z][a-z0-9+.-]+)://")
_BUFFER = 2**18  # fsspec's read takes longer to call than to copy a tar's block of 10 KiB
_CONNECT_S, _SILENCE_S = 30, 60


def is_url(root: str | os.PathLike[str]) -> bool:
    """Whether ``root`` has a scheme, such as https or s3."""
    return _URL.match(str(root)) is not None


def open_url(place: str) -> io.BufferedReader:
    """A stream of the file at ``place``; it need not be a file that can be sought in.

    Raises:
        OSError: when it cannot be opened, with the client's reason. Reading raises nothing else,
            either, whatever the client's own exceptions are.
        DataError: for a scheme that fsspec does not know or whose package is not installed.
    """
    import fsspec

    options, how = _options(place)
    try:
        system, path = fsspec.core.url_to_fs(place, **options)
    except ImportError as error:
        # fsspec's own error is raised from that of the import.
        package = str(getattr(error.__cause__ or error, "name", None)).partition(".")[0]
        raise DataError(
            f"data.root: reading {place} needs the package {package}. Fix: pip install {package}."
        ) from error
    except ValueError as error:
        raise DataError(
            f"data.root: {place} cannot be opened ({error}). Fix: a folder, or a URL that fsspec "
            "knows, such as https://…, s3://… or hf://…"
        ) from error
    except Exception as error:  # of the client: credentials, a proxy
        raise OSError(_reason(error)) from error
    try:
        return io.BufferedReader(_Reader(system.open(path, "rb", **how)), _BUFFER)
    except Exception as error:
        raise OSError(_reason(error)) from error


def _options(place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the file system and of opening a file, by default fsspec's own."""
    match = _URL.match(place)
    scheme = match["scheme"] if match is not None else ""
    if scheme not in ("http", "https"):
        return {}, {}
    try:
        import aiohttp
    except ImportError:
        return {}, {}  # fsspec will say so
    # A shard is read at the pace of training: there is no time by which all of it must be here.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    client = {"client_kwargs": {"timeout": timeout, "trust_env": True}}  # http_proxy and the like
    # One request for a file, since not every server answers those for parts of it.
    return {scheme: client}, {} if "::" in place else {"block_size": 0}


class _Reader(io.RawIOBase):
    """A file of fsspec; whatever its client raises becomes an OSError."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise OSError(_reason(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _reason(error: BaseException) -> str:
    """What a client's exception says, on one line."""
    if isinstance(error, FileNotFoundError):
        # fsspec's http says so of a host that it cannot reach as well, and keeps the cause.
        cause = error.__cause__
        missing = getattr(cause, "status", None) in (404, 410)
        return "not found" if cause is None or missing else _reason(cause)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
