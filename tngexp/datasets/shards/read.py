"""Bytes out of tar shards, local or remote, with the webdataset library.

It walks a tar as a stream, which fsspec opens where it lies behind a URL. Here are only the
counting that lets a reader start in the middle, and errors that name the shard.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from tngexp.datasets.images import EXTENSIONS, DataError
from tngexp.datasets.shards.remote import is_url, open_url
from tngexp.types import ConfigError

__all__ = [
    "Member",
    "is_image",
    "join",
    "name_hash",
    "read_all",
    "read_members",
    "webdataset",
]

_ATTEMPTS = 3  # at a remote shard: a dropped connection must not end a long training
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
        raise DataError(f"cannot read {place} ({_reason(error)}). Fix: {_fix(place)}.") from error
    finally:
        if stream is not None:
            # A client that is cut off in the middle may complain; nobody needs its answer.
            with contextlib.suppress(OSError):
                stream.close()


def read_all(place: str) -> bytes:
    """The whole of a small file. Raises DataError."""
    with _open_stream(place) as stream:
        content: bytes = stream.read()
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
    return open_url(place) if is_url(place) else open(place, "rb")


def _original(name: str) -> str:
    """The path relative to the packed folder; other people's names stay nearly as they are."""
    return unquote(name, errors="surrogateescape")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error).partition(" @ <")[0]  # webdataset appends the stream


def _fix(place: str) -> str:
    if is_url(place):
        return "check data.root, the folder of the shards and their index, and that it is reachable"
    return "copy it again"
