"""``data=sample``: a small data set that needs no download.

Photos that scikit-image and scikit-learn ship inside their wheels, mixed with generated dead
leaves. Files are read where the packages lie; the packages themselves are not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tngexp.datasets.images import DataError, FilePhoto, Photo, UnreadableImageError, read_header
from tngexp.datasets.leaves import DeadLeavesPhoto
from tngexp.datasets.module import ImageDataModule, LoaderOptions, Split

__all__ = ["SampleDataModule", "packaged_photos"]

# (package, file). Both views of the motorcycle stay in training: one held out would leak.
_TRAIN = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/motorcycle_right.png"),
    ("skimage", "data/retina.jpg"),
    ("skimage", "data/brick.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/moon.png"),
    ("sklearn", "datasets/images/china.jpg"),
)
_VAL = (
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
_PHOTO_REPEATS = 2  # twice an epoch, so that about half of the samples are photos
_MIN_TRAIN, _MIN_VAL = 4, 2  # below this the packages are another or a broken version
_LEAVES_SIDE = 512


class SampleDataModule(ImageDataModule):
    """The embedded data set. Final.

    Args:
        leaves: number of dead-leaves pictures; they depend on ``seed``.
        options: see LoaderOptions.
    """

    def __init__(self, leaves: int = 24, **options: Any) -> None:
        super().__init__(LoaderOptions(**options))
        self.leaves = leaves

    def _split(self) -> Split:
        crop, seed = self.options.crop, self.options.seed
        train, val = packaged_photos(_TRAIN), packaged_photos(_VAL)
        if len(train) < _MIN_TRAIN or len(val) < _MIN_VAL:
            raise DataError(
                f"data=sample found only {len(train) + len(val)} of the "
                f"{len(_TRAIN) + len(_VAL)} photos that scikit-image and scikit-learn ship. "
                "Fix: pip install scikit-image scikit-learn, or data=folder data.root=DIR."
            )
        photos: list[Photo] = [photo for photo in train if photo.short_side >= crop]
        # Seeds in steps of a thousand, so that neighbouring runs share no picture.
        side = max(_LEAVES_SIDE, crop)
        pictures: list[Photo] = [DeadLeavesPhoto(1000 * seed + k, side) for k in range(self.leaves)]
        if not photos and not pictures:
            raise DataError(
                f"data=sample has no photo of data.crop={crop} pixels a side. "
                "Fix: lower data.crop or set data.leaves above 0."
            )
        return Split(photos * _PHOTO_REPEATS + pictures, val[: self.options.val_images])


def packaged_photos(files: Sequence[tuple[str, str]]) -> list[FilePhoto]:
    """Those of the (package, file) pairs that are installed and readable, in order."""
    found = []
    for package, file in files:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            path = Path(folder, file)
            if path.is_file():
                try:
                    size = read_header(path)
                except UnreadableImageError:
                    continue
                found.append(FilePhoto(path, f"{package}/{path.name}", min(size)))
                break
    return found
