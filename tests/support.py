"""Descriptions of small codecs that all rooms' tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

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
