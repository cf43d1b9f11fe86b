"""The photos a ``data=…`` configuration means for measuring: whole ones, never trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tngexp.build import build
from tngexp.datasets.images import Photo
from tngexp.datasets.module import ImageDataModule

__all__ = ["photos_to_measure"]


def photos_to_measure(config: Mapping[str, Any]) -> tuple[str, list[Photo]]:
    """The data set's name and its photos: of a folder all, of other sets those held out.

    Raises:
        DataError: for a folder without usable images, or that is not the set it should be.
    """
    config = dict(config)
    folder = "val_root" in config
    if folder:
        config["crop"] = 1  # nothing is cropped, so nothing is too small
    data: ImageDataModule = build(config, trusted=True)
    data.setup("validate")
    if not folder:
        name = type(data).__name__.removesuffix("DataModule").lower()
        return name, list(data.photos.val)
    both: Sequence[Photo] = [*data.photos.train, *data.photos.val]
    return Path(config["root"]).name, sorted(both, key=lambda photo: photo.name)
