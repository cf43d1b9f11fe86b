"""Descriptions of small codecs that all rooms' tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image

from tngexp.bitstream import CodingTables
from tngexp.codec import Codec
from tngexp.io import save

CONF = Path(__file__).parents[1] / "conf"
SIZES = {"encoder.N": 8, "encoder.M": 12}


def options(group: str) -> list[str]:
    """Names of a configuration group's options."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


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


def checkpoint(codec: Codec, path: Path, tables: CodingTables | None = None) -> Path:
    """Write ``codec`` as a training would, with its coding tables or others."""
    save(codec, path)
    if tables is not None:
        content = torch.load(path, weights_only=True)
        content["tngexp"]["coding"] = tables.to_state()
        torch.save(content, path)
    return path
