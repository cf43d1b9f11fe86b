"""``data=folder``: any folder of photos."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from tngexp.common.folders import expanded
from tngexp.datasets.images import FilePhoto, UnreadableImageError
from tngexp.datasets.module import ImageDataModule, LoaderOptions, Split
from tngexp.datasets.scan import Scan, check_folder, scan

__all__ = ["FolderDataModule"]

_MS_SSIM_SIDE = 176  # five scales of an 11-tap window need this many pixels a side


class FolderDataModule(ImageDataModule):
    """Photos under ``root``, a few of them held out for validation. Final.

    Held out are the ``val_images`` photos whose relative paths have the lowest SHA-256, at most
    half of all: adding photos moves few from one part to the other, and the choice does not depend
    on the seed. With ``val_root`` validation takes its photos from there and every photo of
    ``root`` that is not below ``val_root`` trains.

    Args:
        root: folder, searched recursively.
        val_root: another folder for validation, or None.
        options: see LoaderOptions.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None,
        val_root: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(LoaderOptions(**options))
        self.root = root
        self.val_root = val_root

    @property
    def title(self) -> str:
        """What the photos that :meth:`everything` returns are called together."""
        chosen = self.root if self.val_root is None else self.val_root
        return expanded(str(chosen)).resolve().name

    def everything(self) -> list[FilePhoto]:
        """The photos to measure: all that can be decoded, below ``val_root`` if that is given.

        Raises:
            DataError: when there is none.
        """
        option, chosen = (
            ("root", self.root) if self.val_root is None else ("val_root", self.val_root)
        )
        folder = check_folder(f"data.{option}", chosen)
        found = scan(f"data.{option}", folder, min_side=1)
        for photo in list(found.photos):
            _try(photo, found)
        found.warn()
        found.require()
        return found.photos

    def _split(self) -> Split:
        crop, count = self.options.crop, self.options.val_images
        root = check_folder("data.root", self.root)
        if self.val_root is not None:
            val_folder = check_folder("data.val_root", self.val_root)
            train = scan("data.root", root, crop, exclude=[val_folder])
            held = scan("data.val_root", val_folder, min(crop, _MS_SSIM_SIDE))
            val = _choose(held, count)
            held.warn()
            held.require()
            train.warn()
            train.require(why=f" outside data.val_root={self.val_root}")
            return Split(train.photos, val)
        found = scan("data.root", root, crop)
        limit = len(found.photos) // 2
        val = _choose(found, limit if count is None else min(count, limit))
        found.require(2, " (one is held out for validation; or set data.val_root)")
        found.warn()
        held_out = set(val)
        return Split([photo for photo in found.photos if photo not in held_out], val)


def _choose(found: Scan, count: int | None) -> list[FilePhoto]:
    """At most ``count`` validation photos, in path order.

    They are decoded to make sure; a damaged one moves to the scan's list of unreadable ones.
    Photos too small for MS-SSIM are only taken when there are no others.
    """
    large = [photo for photo in found.photos if photo.short_side >= _MS_SSIM_SIDE]
    chosen: list[FilePhoto] = []
    for photo in sorted(large or found.photos, key=_hash):
        if len(chosen) == count:
            break
        if _try(photo, found):
            chosen.append(photo)
    return sorted(chosen, key=lambda photo: photo.name)


def _try(photo: FilePhoto, found: Scan) -> bool:
    """Whether a photo can be decoded; if not, it moves to the scan's unreadable ones."""
    try:
        photo.decode()
    except UnreadableImageError as error:
        found.photos.remove(photo)
        found.unreadable.append((photo.name, str(error)))
        return False
    return True


def _hash(photo: FilePhoto) -> bytes:
    return hashlib.sha256(photo.name.encode("utf-8", "surrogateescape")).digest()
