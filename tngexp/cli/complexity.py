"""What a codec costs: ``python -m tngexp.complexity model=tng``, or ``checkpoint=PATH``.

Parameters, multiply-accumulates per image pixel, decoding steps and measured times on a 768×512
image. Components are chosen as for training; without a checkpoint the weights are random, which
changes neither counts nor the times of the networks, but does change what the entropy coder is
given. ``-m model=gmm,tng`` reports several.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tngexp.bitstream import ImageCodec
from tngexp.cli.hydra_program import guarded
from tngexp.common.configuration import CONF_DIR
from tngexp.evaluation.complexity import details, measure, table
from tngexp.model.codec import Codec
from tngexp.schema.store import register_config
from tngexp.types import ConfigError

__all__ = ["details", "main", "measure", "table"]

_CHECKPOINT = "checkpoint="


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code. ``argv`` (without the program) is for tests."""
    words = sys.argv[1:] if argv is None else argv
    checkpoints = [word for word in words if word.startswith(_CHECKPOINT)]
    if checkpoints:
        return guarded(lambda: _report_checkpoint(checkpoints, words), "train")
    register_config()

    def job(config: DictConfig) -> None:
        # Imported here: the engine loads Lightning, which --help and --cfg do without.
        from tngexp.training.engine import codec_config

        plain: Any = OmegaConf.to_container(config, resolve=True)
        codec = ImageCodec(Codec.from_config(codec_config(plain), trusted=True)).eval()
        choices = HydraConfig.get().runtime.choices
        print(table(measure(codec), f"model={choices['model']}, untrained"))

    job.__module__ = "tngexp.complexity"
    # Hydra keeps a folder for each run; a report leaves nothing behind.
    with tempfile.TemporaryDirectory() as folder:
        flags = [word for word in words if word.startswith("-")]
        sys.argv[1:] = [
            *flags,  # argparse refuses flags between overrides
            f"hydra.run.dir={folder}",
            f"hydra.sweep.dir={folder}",
            *[word for word in words if word not in flags],
        ]
        entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")(job)
        return guarded(entry, "train", __doc__)


def _report_checkpoint(checkpoints: list[str], words: list[str]) -> None:
    if len(words) > 1:
        raise ConfigError(
            "checkpoint=PATH names a whole codec: it takes no other options, one at a time"
        )
    from tngexp.bitstream.codec_files import load

    path = checkpoints[0].removeprefix(_CHECKPOINT)
    print(table(measure(load(path)), path))
