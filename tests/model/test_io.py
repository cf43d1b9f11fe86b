"""Weights files carry the whole codec, and nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import photo

import tngexp
from tngexp.bitstream import ImageCodec
from tngexp.io import save
from tngexp.model.codec import Codec
from tngexp.types import CheckpointError, ConfigError


@pytest.mark.parametrize("quantizer", ["mixed", "soft_to_hard"])
def test_a_weights_file_is_the_codec(
    make_codec: Callable[..., Codec], tmp_path: Path, quantizer: str
) -> None:
    codec = ImageCodec(make_codec(prior="gmm", quantizer=quantizer)).eval()
    save(codec, tmp_path / "a.safetensors")
    loaded = tngexp.load(tmp_path / "a.safetensors")
    assert loaded.fingerprint() == codec.fingerprint()
    image = photo(40, 30)
    assert loaded.compress(image) == codec.compress(image)


def test_half_precision_is_a_model_of_its_own(
    make_codec: Callable[..., Codec], tmp_path: Path
) -> None:
    model = make_codec(prior="quadtree", encoder="depthwise", hyper="depthwise")
    codec = ImageCodec(model).eval()
    save(codec, tmp_path / "full.safetensors")
    save(codec, tmp_path / "half.safetensors", half=True)
    weights = {k: v for k, v in load_file(tmp_path / "half.safetensors").items() if "codec." in k}
    assert {t.dtype for t in weights.values() if t.is_floating_point()} == {torch.float16}
    first, second = (tngexp.load(tmp_path / "half.safetensors") for _ in range(2))
    assert first.fingerprint() != codec.fingerprint()
    image = photo(40, 30)
    # The tables in the file are those of the rounded weights: both sides agree.
    assert second.decompress(first.compress(image)).size == image.size
    with torch.no_grad():
        model.transform.analysis[0].conv.weight[0, 0, 0, 0] = 1e6  # type: ignore[index, union-attr]
    with pytest.raises(ConfigError, match="half precision"):
        save(codec, tmp_path / "half.safetensors", half=True)


def test_bad_weights_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: not a readable weights file"):
        tngexp.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not of a tngexp codec"):
        tngexp.load(path)
    save_file({"a": torch.zeros(1)}, path, {"tngexp": json.dumps({"codec": {}})})
    with pytest.raises(CheckpointError, match="cannot build the codec"):
        tngexp.load(path)
