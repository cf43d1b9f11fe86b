"""Which images of a folder are usable, said once.

Only headers are read, about 0.1 ms a file. What cannot be used is skipped and reported in one
warning; nothing usable is an error.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tngexp.common.folders import Found, expanded, search
from tngexp.datasets.images import (
    EXTENSIONS,
    DataError,
    DataWarning,
    FilePhoto,
    UnreadableImageError,
    read_header,
)

__all__ = ["Scan", "check_folder", "find_images", "scan"]

_NAMED = 3  # files named in a message; the rest are counted


@dataclass
class Scan:
    """What a folder holds: usable photos in path order, and the rest as (name, reason)."""

    root: Path
    option: str  # the option that named the folder, for messages
    min_side: int
    photos: list[FilePhoto]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    small: list[tuple[str, str]] = field(default_factory=list)
    folders: list[tuple[str, str]] = field(default_factory=list)  # that were not looked into

    def warn(self) -> None:
        """One DataWarning that counts what was skipped, or none if all is usable."""
        skipped = len(self.unreadable) + len(self.small)
        if skipped or self.folders:
            what = "looked at only a part"
            if skipped:
                what = f"skipped {skipped} of {skipped + len(self.photos)} images"
            warnings.warn(
                f"{self.option}={self.root}: {what}: {self._reasons()}", DataWarning, stacklevel=2
            )

    def require(self, count: int = 1, why: str = "") -> None:
        """Raises DataError unless at least ``count`` photos are usable."""
        if len(self.photos) >= count:
            return
        skipped = len(self.unreadable) + len(self.small)
        if self.photos:
            message = f"{self.option}={self.root} has too few usable images: {len(self.photos)} of "
            message += f"the {count} needed{why}"
        elif skipped:
            message = f"{self.option}={self.root}: none of its {skipped} images can be used"
        else:
            message = f"{self.option}={self.root} has no image{why}"
        if skipped or self.folders:
            message += f" ({self._reasons()})"
        fixes = ["add photos"]
        if self.small:
            fixes.append(f"lower data.crop below {self.min_side}")
        raise DataError(f"{message}. Fix: {' or '.join(fixes)}.")

    def _reasons(self) -> str:
        parts = []
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable ({_first(self.unreadable)})")
        if self.small:
            parts.append(
                f"{len(self.small)} smaller than {self.min_side} pixels a side "
                f"({_first(self.small)})"
            )
        if self.folders:
            count = len(self.folders)
            folders = "1 folder" if count == 1 else f"{count} folders"
            parts.append(f"{folders} not searched ({_first(self.folders)})")
        return "; ".join(parts)


def check_folder(option: str, root: str | os.PathLike[str] | None) -> Path:
    """The folder an option names. Raises DataError when it is not given or not a folder."""
    if root is None or str(root) == "":
        raise DataError(f"{option} is not set. Fix: {option}=DIR, a folder of images.")
    path = expanded(root)
    if not path.exists():
        raise DataError(
            f"{option}={root} does not exist (looked in {path.absolute()}). "
            f"Fix: point {option} at a folder of images."
        )
    if not path.is_dir():
        raise DataError(
            f"{option}={root} is a file, not a folder. Fix: point {option} at the folder it is in."
        )
    return path


def find_images(root: Path) -> Found:
    """Image files under ``root``; see :func:`tngexp.common.folders.search`."""
    return search(root, EXTENSIONS)


def scan(option: str, root: Path, min_side: int, exclude: Sequence[Path] = ()) -> Scan:
    """Reads the header of every image under ``root``.

    ``exclude`` names folders whose files do not count (a validation folder inside the root).
    Raises DataError when there is no image file at all.
    """
    excluded = [folder.resolve() for folder in exclude]
    found = find_images(root)
    result = Scan(root, option, min_side, [])
    result.folders = [(path.relative_to(root).as_posix(), why) for path, why in found.folders]
    result.unreadable = [(path.relative_to(root).as_posix(), why) for path, why in found.unusable]
    if not found.files and not found.unusable:
        raise DataError(
            f"{option}={root} holds no images{_but(result.folders)}. Fix: point {option} at a "
            "folder with PNG, JPEG, WebP, AVIF or TIFF files (subfolders are searched)."
        )
    for path in found.files:
        if excluded and any(path.resolve().is_relative_to(folder) for folder in excluded):
            continue
        name = path.relative_to(root).as_posix()
        try:
            width, height = read_header(path)
        except UnreadableImageError as error:
            result.unreadable.append((name, str(error)))
            continue
        if min(width, height) < min_side:
            result.small.append((name, f"{width}×{height}"))
        else:
            result.photos.append(FilePhoto(path, name, min(width, height)))
    return result


def _but(folders: Sequence[tuple[str, str]]) -> str:
    return f" where it could be searched (not in {_first(folders)})" if folders else ""


def _first(items: Sequence[tuple[str, str]]) -> str:
    named = [f"{name}: {reason}" for name, reason in items[:_NAMED]]
    return "; ".join(named) + ("; …" if len(items) > _NAMED else "")
