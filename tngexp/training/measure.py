"""What validation losses depend on besides the codec: those of one measure compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule

from tngexp.datasets.module import ImageDataModule

__all__ = ["measure_of"]

_VALIDATED_BY = ("_target_", "root", "val_root", "val_folder", "val_images", "val_crop")
_FILES = ("file", "val_file")  # of data=tensor alone: earlier checkpoints know nothing of them


def measure_of(
    config: Mapping[str, Any],
    data: LightningDataModule | None = None,
    features: str | None = None,
) -> dict[str, Any]:
    """Equal for runs whose validation losses compare; checkpoints keep it.

    Args:
        config: of the run.
        data: its data set; None where the options have to tell.
        features: what the codec is that the loss looks through, if it does.
    """
    options = config["data"]
    photos = {key: options.get(key) for key in _VALIDATED_BY}
    photos |= {key: options[key] for key in _FILES if key in options}
    loss = dict(config["loss"])
    if features is not None:
        loss["features"] = features  # a name may come to stand for another codec
    measure: dict[str, Any] = {"loss": loss, "photos": photos}
    if isinstance(data, ImageDataModule):  # which of the photos are held out depends on more
        names = "\n".join(photo.name for photo in data.photos.val)
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape"))
        measure["held_out"] = digest.hexdigest()
    return measure
