"""Files written by earlier versions: they decode to the same picture, and are still written so.

``golden/`` holds files of the shipped codecs, of each generation, and of small untrained ones, as
written by the version that shipped them first, or by that before the walk was described once:
``NAME.tng`` and the picture it decodes to, and for the small ones their weights and an ``NAME.npz``
with latents, the stream they were coded to and what that decodes to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tngexp
from tngexp import zoo
from tngexp.coding import read
from tngexp.types import Latents

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = sorted(path.stem for path in GOLDEN.glob("tng-*.tng"))
SMALL = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))


def test_the_collection_is_whole() -> None:
    files = [read((GOLDEN / f"{stem}.tng").read_bytes()) for stem in SHIPPED]
    written_with = {zoo.name_of(file.model) for file in files}
    assert written_with == {*zoo.MODELS, *zoo.EARLIER}
    assert len(SHIPPED) == 5
    assert len(SMALL) == 8


@pytest.mark.parametrize("stem", SHIPPED + SMALL)
def test_a_file_decodes_to_the_same_picture(stem: str) -> None:
    weights, data = GOLDEN / f"{stem}.safetensors", (GOLDEN / f"{stem}.tng").read_bytes()
    # A shipped codec is found by what the file says: a later one may have its name by now.
    shipped = zoo.name_of(read(data).model)
    assert shipped is not None or weights.exists()
    codec = tngexp.load(shipped or weights)
    decoded = np.asarray(codec.decompress(data)).astype(int)
    with Image.open(GOLDEN / f"{stem}.png") as expected:
        # The synthesis is float32, whose rounding other processors may tip by one grey level.
        assert np.abs(decoded - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize("stem", SMALL)
def test_latents_are_coded_to_the_same_bytes_and_back(stem: str) -> None:
    coder = tngexp.load(GOLDEN / f"{stem}.safetensors").prepare().latents
    with np.load(GOLDEN / f"{stem}.npz") as golden:
        y = torch.from_numpy(golden["y"])
        z = torch.from_numpy(golden["z"]) if golden["z"].size else None
        stream, y_hat = golden["stream"].tobytes(), torch.from_numpy(golden["y_hat"])
    assert coder.encode(Latents(y, z))[0] == stream
    assert torch.equal(coder.decode(stream, tuple(y.shape[1:]))[0], y_hat)
