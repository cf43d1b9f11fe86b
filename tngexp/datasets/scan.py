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

    def warn(self) -> None:
        """One DataWarning that counts the skipped images, or none if all are usable."""
        if skipped := len(self.unreadable) + len(self.small):
            total = skipped + len(self.photos)
            warnings.warn(
                f"{self.option}={self.root}: skipped {skipped} of {total} images: "
                f"{self._reasons()}",
                DataWarning,
                stacklevel=2,
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
        if skipped:
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
        return "; ".join(parts)


def check_folder(option: str, root: str | os.PathLike[str] | None) -> Path:
    """The folder an option names. Raises DataError when it is not given or not a folder."""
    if root is None or str(root) == "":
        raise DataError(f"{option} is not set. Fix: {option}=DIR, a folder of images.")
    path = Path(root).expanduser()
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


def find_images(root: Path) -> list[Path]:
    """Image files under ``root``, recursively, in the order of their relative paths.

    Symbolic links to folders are followed, each real folder once. Names that start with a dot are
    left out: thumbnail folders and macOS's ``._`` files would leak or spoil a data set.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        # Sorted, so that of two links to one folder the same one wins on every machine.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def scan(option: str, root: Path, min_side: int, exclude: Sequence[Path] = ()) -> Scan:
    """Reads the header of every image under ``root``.

    ``exclude`` names folders whose files do not count (a validation folder inside the root).
    Raises DataError when there is no image file at all.
    """
    excluded = [folder.resolve() for folder in exclude]
    paths = find_images(root)
    if not paths:
        raise DataError(
            f"{option}={root} holds no images. Fix: point {option} at a folder with PNG, JPEG, "
            "WebP, AVIF or TIFF files (subfolders are searched)."
        )
    result = Scan(root, option, min_side, [])
    for path in paths:
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


def _first(items: Sequence[tuple[str, str]]) -> str:
    named = [f"{name}: {reason}" for name, reason in items[:_NAMED]]
    return "; ".join(named) + ("; …" if len(items) > _NAMED else "")
