"""``data=kodak``: the 24 Kodak images, byte for byte, for evaluation only.

A figure "on Kodak" only compares with others if it is on the same pixels: copies cropped, rotated
or re-encoded circulate, so each file is checked against its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from tngexp.datasets.images import DataError, FilePhoto
from tngexp.datasets.module import ImageDataModule, LoaderOptions, Split
from tngexp.datasets.scan import check_folder
from tngexp.types import ConfigError

__all__ = ["KODAK_SHA256", "KodakDataModule", "kodak_photos"]

# kodim01.png … kodim24.png, the PNG files of r0k.us/graphics/kodak (768×512 and 512×768).
KODAK_SHA256 = (
    "a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd",
    "4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd",
    "e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db",
    "e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa",
    "10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53",
    "363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18",
    "b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4",
    "ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7",
    "6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d",
    "9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23",
    "7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6",
    "d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980",
    "bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08",
    "55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e",
    "7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683",
    "a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54",
    "37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b",
    "1a9258c365988961d87a0598725b609139c303ad48a5aad6c503c3b1a87849aa",
    "b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc",
    "3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a",
    "ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b",
    "1cee58eb1f2d9c7ebb254d208a03c783ce6cf2c4d8c2cf45e235dd23b4ce1b29",
    "e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf",
    "1071c68372cc5a01435c2c225a5cf7d4bb803846ec08bb6b3d6721b156d7cb96",
)

_SHORT_SIDE = 512
_SOURCE = "https://r0k.us/graphics/kodak/"


class KodakDataModule(ImageDataModule):
    """The Kodak set for validation and tests; training on it is refused. Final.

    Args:
        root: the folder with kodim01.png … kodim24.png.
        options: see LoaderOptions; by default all images, whole.
    """

    def __init__(self, root: str | os.PathLike[str] | None, **options: Any) -> None:
        super().__init__(LoaderOptions(**{"val_images": None, "val_crop": None, **options}))
        self.root = root

    def _split(self) -> Split:
        photos = kodak_photos(check_folder("data.root", self.root))
        return Split([], photos[: self.options.val_images])

    def setup(self, stage: str | None = None) -> None:
        if stage == "fit":
            _refuse_training()
        super().setup(stage)

    def train_dataloader(self) -> DataLoader[Tensor]:
        _refuse_training()
        raise AssertionError


def kodak_photos(root: Path) -> list[FilePhoto]:
    """The 24 photos in ``root``. Raises DataError that names each missing or wrong file."""
    missing, wrong, photos = [], [], []
    for number, expected in enumerate(KODAK_SHA256, start=1):
        name = f"kodim{number:02d}.png"
        path = root / name
        if not path.is_file():
            missing.append(name)
        elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            wrong.append(name)
        else:
            photos.append(FilePhoto(path, name, _SHORT_SIDE))
    if missing or wrong:
        parts = []
        if missing:
            parts.append(f"missing {', '.join(missing)}")
        if wrong:
            parts.append(f"not the original file (SHA-256 differs): {', '.join(wrong)}")
        raise DataError(
            f"data.root={root} is not the Kodak set: {'; '.join(parts)}. "
            f"Fix: get the PNG files from {_SOURCE}."
        )
    return photos


def _refuse_training() -> None:
    raise ConfigError(
        "data=kodak is for evaluation: a codec that trained on Kodak has no figure on Kodak. "
        "Fix: train with data=sample or data=folder data.root=DIR."
    )
