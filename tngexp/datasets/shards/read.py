"""Bytes out of tar shards, local or remote, with the webdataset library.

It opens URLs through command-line clients (curl for http and https, gsutil for gs) and walks a tar
as a stream. Here are only s3, which it lacks, the counting that lets a reader start in the middle,
and errors that name the shard.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import subprocess
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from tngexp.datasets.images import EXTENSIONS, DataError
from tngexp.types import ConfigError

__all__ = [
    "Member",
    "is_image",
    "is_url",
    "join",
    "name_hash",
    "read_all",
    "read_members",
    "webdataset",
]

_ATTEMPTS = 3  # at a remote shard: a dropped connection must not end a long training
_CURL = {6: "unknown host", 7: "cannot connect", 22: "not found or not allowed", 28: "timed out"}
_FAILURES = (tarfile.TarError, OSError, EOFError, zlib.error)


class Member(NamedTuple):
    """An image as it was packed."""

    name: str
    data: bytes


def webdataset(module: str) -> Any:
    """A module of the optional library, which has no types. Raises ConfigError without it."""
    try:
        return importlib.import_module(f"webdataset.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"shards need the package {error.name}. Fix: pip install 'tngexp[shards]'."
        ) from error


def is_url(root: str | os.PathLike[str]) -> bool:
    """Whether ``root`` has a scheme, such as https or s3."""
    return re.match(r"[a-z][a-z0-9+.-]+://", str(root)) is not None


def is_image(name: str) -> bool:
    """Whether a member counts. Shards from elsewhere hold labels and captions as well."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def join(root: str, name: str) -> str:
    """The place of a file below ``root``."""
    return f"{root.rstrip('/')}/{name}" if is_url(root) else os.path.join(root, name)


@contextlib.contextmanager
def _open_stream(place: str) -> Iterator[Any]:
    """A readable binary stream. Raises DataError when it cannot be opened or read."""
    stream = None
    try:
        stream = _open(place)
        yield stream
    except _FAILURES as error:
        # Where a client failed, its answer says more than the stream that ended.
        reason = _reason(_client_error(stream) or error)
        raise DataError(f"cannot read {place} ({reason}). Fix: {_fix(place)}.") from error
    finally:
        if stream is not None:
            # A client that is cut off in the middle may complain; nobody needs its answer.
            with contextlib.suppress(OSError):
                stream.close()


def read_all(place: str) -> bytes:
    """The whole of a small file. Raises DataError."""
    with _open_stream(place) as stream:
        content: bytes = stream.read()
        if error := _client_error(stream):
            raise error
        return content


def read_members(place: str, first: int, stop: int, total: int) -> Iterator[Member]:
    """Images number ``first`` … ``stop − 1`` of the ``total`` of a shard.

    Those before are passed over in the stream. Raises DataError that names the shard when it ends
    early; a remote one is first opened again, where it broke off.
    """
    attempts = _ATTEMPTS if is_url(place) else 1
    while first < stop:
        before = first
        try:
            for member in _stream_members(place, first, stop, total):
                first += 1
                yield member
        except DataError:
            attempts = attempts - 1 if first == before else _ATTEMPTS
            if attempts == 0 or not is_url(place):
                raise
            time.sleep(1)


def _stream_members(place: str, first: int, stop: int, total: int) -> Iterator[Member]:
    seen = 0

    def wanted(name: str) -> bool:
        nonlocal seen
        seen += is_image(name)
        return is_image(name) and first < seen <= stop

    with _open_stream(place) as stream:
        iterate = webdataset("tariterators").tar_file_iterator
        for found in iterate(stream, skip_meta=None, select_files=wanted):
            yield Member(_original(found["fname"]), found["data"])
            if seen == stop:
                return
        # tarfile takes a damaged header for the end of the archive.
        raise tarfile.ReadError(f"it ends after {seen} of {total} images: truncated or damaged")


def name_hash(name: str) -> bytes:
    """The order that pack gives to images, and that held-out ones are chosen by."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _open(place: str) -> Any:
    if not is_url(place):
        return open(place, "rb")
    gopen = webdataset("gopen")
    if place.startswith("s3://") and "s3" not in gopen.gopen_schemes:
        command = ["aws", "s3", "cp", "--quiet", place, "-"]
        return gopen.Pipe(command, mode="rb", bufsize=8192, ignore_status=[141])
    try:
        return gopen.gopen(place, "rb")
    except (ValueError, ImportError) as error:  # an unknown scheme; a client that is not installed
        raise OSError(str(error)) from error


def _client_error(stream: Any) -> OSError | None:
    """What the command-line client behind a stream complains about, if it has ended."""
    if (process := getattr(stream, "proc", None)) is not None:
        try:
            process.wait(timeout=1)
            stream.check_status()
        except OSError as error:
            return error
        except subprocess.TimeoutExpired:
            pass
    return None


def _original(name: str) -> str:
    """The path relative to the packed folder; other people's names stay nearly as they are."""
    return unquote(name, errors="surrogateescape")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and (status := re.search(r"exit (-?\d+) \(read\)", str(error))):
        code = int(status[1])
        client = "curl" if "'curl'" in str(error) else "the client"
        return f"{client}: {_CURL[code]}" if code in _CURL else f"{client} ended with {code}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error).partition(" @ <")[0]


def _fix(place: str) -> str:
    return "check the address, and that it can be reached" if is_url(place) else "copy it again"
