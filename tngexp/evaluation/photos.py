"""The photos a ``data=…`` configuration means for measuring: whole ones, known by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tngexp.datasets.folder import FolderDataModule
from tngexp.datasets.images import DataError, Photo, Pixels, UnreadableImageError
from tngexp.datasets.module import ImageDataModule
from tngexp.model.build import build

__all__ = ["digest", "photos_to_measure", "pixels_of"]


def photos_to_measure(config: Mapping[str, Any], held_out: bool = False) -> tuple[str, list[Photo]]:
    """The data set's name and its photos: of a folder all, of other sets those held out.

    Args:
        config: plain ``conf/data/*.yaml``.
        held_out: also of a folder only those that a training with this configuration holds out.

    Raises:
        DataError: for a folder without usable images, or that is not the set it should be.
    """
    data: ImageDataModule = build(dict(config), trusted=True)
    if isinstance(data, FolderDataModule):
        return data.title, list(data.photos.val if held_out else data.everything())
    data.setup("validate")
    name = type(data).__name__.removesuffix("DataModule").lower()
    return name, list(data.photos.val)


def pixels_of(photo: Photo) -> Pixels:
    """A photo's pixels, (H, W, 3).

    Raises:
        DataError: when it cannot be decoded; the message names it.
    """
    try:
        return photo.decode()
    except UnreadableImageError as error:
        raise DataError(
            f"{photo.name}: {error}. Fix: repair the image or take it out of the set."
        ) from error


def digest(rgb: Pixels) -> str:
    """What a picture is known by, whatever its file is called: its size, and a SHA-256."""
    height, width = rgb.shape[:2]
    return f"{width}x{height} {hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).hexdigest()}"
