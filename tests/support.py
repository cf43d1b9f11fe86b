"""Descriptions of small codecs that tests of all packages share."""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageCms

from tngexp.bitstream import CodingTables, ImageCodec
from tngexp.bitstream.tables import DIGEST
from tngexp.devices.hardware import multiplies_bf16
from tngexp.io import save
from tngexp.metrics.records import ImageRecord, Measurement
from tngexp.model.codec import Codec

needs_bf16 = pytest.mark.skipif(
    not multiplies_bf16(),
    reason="this CPU has no bf16 units; emulated bfloat16 may abort or not end",
)
"""Marks a test that computes in bfloat16 on the CPU."""


def needs_gpu(test: Any) -> Any:
    """Marks a test that trains or codes on a CUDA device; ``pytest -m gpu`` selects these."""
    for mark in (
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        pytest.mark.filterwarnings("default"),  # libraries say there what they do not say here
    ):
        test = mark(test)
    return test


CONF = Path(__file__).parents[1] / "conf"
SIZES = {"encoder.N": 8, "encoder.M": 16}  # M a multiple of what priors and codebooks need


def options(group: str) -> list[str]:
    """Names of a configuration group's options; ``_base`` and its like are parts of them."""
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def codec_config(
    encoder: str = "gdn",
    quantizer: str = "mixed",
    prior: str = "hyperprior",
    rate: str = "fixed",
    hyper: str = "conv",
    loss: str = "mse",
    **overrides: Any,
) -> dict[str, Any]:
    """The description of a small codec, read from the same YAML files a user chooses from."""
    config = OmegaConf.create(
        {
            group: OmegaConf.load(CONF / group / f"{option}.yaml")
            for group, option in {
                "encoder": encoder,
                "quantizer": quantizer,
                "prior": prior,
                "rate": rate,
                "hyper": hyper,
                "loss": loss,
            }.items()
        }
    )
    for key, value in {**SIZES, **overrides}.items():
        OmegaConf.update(config, key, value)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {
        "transform": plain["encoder"],
        "quantizer": plain["quantizer"],
        "prior": plain["prior"],
        "rate": plain["rate"],
    }


def photo(width: int, height: int) -> Image.Image:
    """A small colourful picture with edges, gradients and a little noise; always the same."""
    rng = np.random.default_rng(width * 1000 + height)
    rows, columns = np.mgrid[0:height, 0:width] / 40.0
    waves = np.stack([np.sin(rows + 2 * columns), np.cos(rows * columns), np.sin(3 * rows)], -1)
    picture = 128 + 70 * waves + 40 * (waves[..., :1] > 0.3) + rng.normal(0, 4, waves.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


@functools.cache  # it holds the second in which it was made
def other_profile() -> bytes:
    """A sound colour profile of RGB that is not sRGB: red and green change places."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return icc.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def grey_profile(gamma: float = 1.0) -> bytes:
    """A sound colour profile of grey (ICC version 2): light is the level to the power ``gamma``."""
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"g" + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IHH", 1, round(256 * gamma), 0),
    }
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        place = 128 + 4 + 12 * len(tags) + len(data)
        table += name + struct.pack(">II", place, len(content))
        data += content
    size = struct.pack(">I", 128 + len(table) + len(data))
    head = size + bytes(4) + b"\2\x40\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return head + bytes(128 - len(head)) + table + data


def as_mode(mode: str, width: int = 37, height: int = 23) -> Image.Image:
    """The picture of :func:`photo` in another mode; alpha, where there is one, is noise."""
    image = photo(width, height).convert(mode)
    if mode.endswith("A"):
        alpha = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
        image.putalpha(Image.fromarray(alpha))
    return image


def checkpoint(codec: Codec | ImageCodec, path: Path, tables: CodingTables | None = None) -> Path:
    """Write ``codec`` as a training would, with its coding tables or others."""
    save(codec, path)
    if tables is not None:
        content = torch.load(path, weights_only=True)
        digest = content["tngexp"]["coding"][DIGEST]  # of the weights they pretend to be made of
        content["tngexp"]["coding"] = tables.to_state() | {DIGEST: digest}
        torch.save(content, path)
    return path


def wandb_records(folder: Path) -> list[Any]:
    """The records of the one ``.wandb`` file under ``folder``, of a run that has ended."""
    from wandb.proto import wandb_internal_pb2

    deadline = time.monotonic() + 20
    while True:
        (path,) = folder.rglob("*.wandb")
        found = []
        for data in _log_records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
        # wandb's own process may still be writing when finish() has returned.
        if time.monotonic() > deadline or any(record.HasField("exit") for record in found):
            return found
        time.sleep(0.05)


def _log_records(file: bytes) -> Iterator[bytes]:
    """LevelDB's log format behind a 7-byte header, which recent wandb has no Python reader for."""
    assert file[:4] == b":W&B"
    block, position, pending = 32768, 7, b""
    while position + 7 <= len(file):
        if block - position % block < 7:  # too short for a chunk header: padding
            position += block - position % block
            continue
        length, kind = struct.unpack_from("<HB", file, position + 4)  # after the checksum
        pending += file[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, last; 2 and 3 are first and middle
            yield pending
            pending = b""


def key_of(item: Any) -> str:
    """The name of an item of a record, as it was logged."""
    return item.key or "/".join(item.nested_key)


def scaled_codec(quantizer: str = "mixed", prior: str = "quadtree") -> ImageCodec:
    """An untrained codec of variable rate whose latents spread over several symbols."""
    torch.manual_seed(5)
    codec = Codec.from_config(codec_config("depthwise", quantizer, prior, "variable"))
    with torch.no_grad():
        last = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        x = torch.from_numpy(np.array(photo(96, 64))).permute(2, 0, 1)[None] / 255
        last.weight.mul_(2 / codec.transform.analysis(x).std())
    return ImageCodec(codec).eval()


def image_record(**changes: Any) -> ImageRecord:
    """A record of a trained codec on a Kodak photo, every field of it set."""
    measured = Measurement(
        width=768,
        height=512,
        bytes=24576,
        bpp=0.5,
        estimated_bpp=0.499,
        psnr_db=31.5,
        ms_ssim=0.97,
        encode_s=0.3,
        decode_s=0.2,
        reconstruction_sha256="00",
        metrics={"ssim": 0.9},
        peak_memory_mib=600.5,
    )
    fields: dict[str, Any] = {
        "kind": "codec",
        "codec": "gmm",
        "setting": "q=0.5",
        "dataset": "kodak",
        "image": "kodim01.png",
        "checkpoint": "runs/gmm/checkpoints/best.ckpt",
        "model": "0a1b2c3d",
        "weights_sha256": "11",
        "config_sha256": "22",
        "effort": 3,
        "tune": "mse",
        "objective": "{}",
        "look": 0.5,
        "look_sha256": "66",
        "original": "768x512 33",
        "quality": 0.5,
        "measurement": 1,
        "measured": measured,
        "file": "0a1b2c3d_0.5/kodim01-44.tng",
        "file_sha256": "55",
        "device": "cpu",
        "threads": 2,
        "processor": "x86_64",
        "versions": {"tngexp": "0.1.0", "torch": "2.9.0"},
        "command": "evaluate.py",
        "date": "2026-01-02T03:04:05+00:00",
    }
    return ImageRecord(**fields | changes)


def limit_libraries(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Have these variables, and no others, say which units of the CPU libraries may use."""
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
