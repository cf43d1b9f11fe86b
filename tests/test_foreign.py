"""Whatever file is given as a checkpoint: one message that names it."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as safetensors
from support import codec_config

import tngexp
from tngexp.io import CheckpointError, read_checkpoint
from tngexp.training.engine import run


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def written(write: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def archive(buffer: io.BytesIO) -> None:
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data.pkl", "no pickle")
        file.writestr("version", "3")


ABOUT = {"codec": codec_config()}
FILES: dict[str, bytes] = {
    "empty": b"",
    "text": b"lr: 0.001\nsteps: 400\n",
    "letter": b"h",
    "json": b'{"tngexp": {}, "state_dict": {}}',
    "latin-1": "Größe".encode("latin-1"),
    "picture": written(lambda f: Image.new("RGB", (4, 4)).save(f, "png")),
    "arrays": written(lambda f: np.savez(f, a=np.zeros(3))),
    "gzip": gzip.compress(b"x" * 100),
    "archive": written(archive),
    "cut": saved({"tngexp": ABOUT, "state_dict": {}})[:300],
    "pickle": pickle.dumps({"tngexp": {}, "state_dict": {}}),
    "old pickle": pickle.dumps([1, 2, 3], protocol=0),
    "pickled object": pickle.dumps(datetime.datetime(2024, 1, 1)),
    "object": saved({"state_dict": {}, "hyper_parameters": Path("a")}),
    "tensor": saved(torch.zeros(3)),
    "list": saved([1, 2]),
    "weights": saved({"layer.weight": torch.zeros(3)}),
    "lightning": saved({"state_dict": {}, "pytorch-lightning_version": "2.6", "epoch": 3}),
    "number": saved({"tngexp": 3, "state_dict": {}}),
    "no codec": saved({"tngexp": {"codec": "gmm"}, "state_dict": {}}),
    "no weights": saved({"tngexp": ABOUT, "state_dict": [1]}),
    "numbers": saved({"tngexp": ABOUT, "state_dict": {"codec.a": 3}}),
    "others": saved({"tngexp": ABOUT, "state_dict": {"codec.a": torch.zeros(3)}}),
    "no tables": saved({"tngexp": {**ABOUT, "coding": [1]}, "state_dict": {}}),
    "mixed up": saved(
        {"tngexp": {"codec": {**ABOUT["codec"], "prior": ABOUT["codec"]["rate"]}}, "state_dict": {}}
    ),
    "sizes": saved({"tngexp": {"codec": codec_config(**{"encoder.N": -1})}, "state_dict": {}}),
    "safetensors": safetensors({"a": torch.zeros(3)}),
    "safetensors of nothing": safetensors({"a": torch.zeros(3)}, {"tngexp": json.dumps({})}),
}


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors", ""])
@pytest.mark.parametrize("kind", FILES)
def test_loading_names_the_file(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"codec{suffix}"
    path.write_bytes(FILES[kind])
    with pytest.raises(CheckpointError) as info:
        tngexp.load(path)
    assert str(info.value).startswith(f"{path}: ")


def test_a_weights_file_is_known_under_any_name(tmp_path: Path) -> None:
    shipped = tngexp.zoo.path("tng-mixed")
    renamed = tmp_path / "mine.ckpt"
    renamed.write_bytes(shipped.read_bytes())
    found, expected = (read_checkpoint(path)["tngexp"]["codec"] for path in (renamed, shipped))
    assert found == expected


@pytest.mark.parametrize("option", ["resume", "init_from"])
@pytest.mark.parametrize("kind", ["text", "arrays", "lightning", "no codec", "numbers", "others"])
def test_training_names_option_and_file(tmp_path: Path, kind: str, option: str) -> None:
    path = tmp_path / "codec.ckpt"
    path.write_bytes(FILES[kind])
    codec = codec_config()
    config = {
        "encoder": codec["transform"],
        **{name: codec[name] for name in ("quantizer", "prior", "rate")},
        "loss": {
            "_target_": "tngexp.losses.mse.MSELoss",
            "lmbda": 0.01, "lmbda_min": 0.001, "lmbda_max": 0.1,
        },
        "data": {"_target_": "tngexp.datasets.sample.SampleDataModule"},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1},
        "trainer": {"max_steps": 1, "val_check_interval": 1},
        "run_dir": str(tmp_path / "run"),
        option: str(path),
    }  # fmt: skip
    with pytest.raises(CheckpointError) as info:
        run(config)
    assert str(info.value).startswith((f"{option}: {path}", f"{option}={path}"))
    assert not (tmp_path / "run").exists()
