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

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tngexp.cli.hydra_program import guarded, run_jobs
from tngexp.errors import ConfigError

__all__ = ["main"]

_CHECKPOINT = "checkpoint="


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code. ``argv`` (without the program) is for tests."""
    words = sys.argv[1:] if argv is None else argv
    checkpoints = [word for word in words if word.startswith(_CHECKPOINT)]
    if checkpoints:
        return guarded(lambda: _report_checkpoint(checkpoints, words), "train")

    def job(config: DictConfig) -> None:
        # Imported here: these load torch and Lightning, which --help and --cfg do without.
        from tngexp.bitstream import ImageCodec
        from tngexp.evaluation.complexity import measure, measure_hybrid, table
        from tngexp.hybrid.model import Hybrid
        from tngexp.model.codec import Codec
        from tngexp.training.hybrid import LitHybrid
        from tngexp.training.module import LitCodec

        plain: Any = OmegaConf.to_container(config, resolve=True)
        if plain.get("post") is not None:
            hybrid = Hybrid.from_config(LitHybrid.describe(plain), trusted=True).eval()
            report = measure_hybrid(hybrid)
        else:
            codec = Codec.from_config(LitCodec.describe(plain), trusted=True)
            report = measure(ImageCodec(codec).eval())
        choices = HydraConfig.get().runtime.choices
        print(table(report, f"model={choices['model']}, untrained"))

    # Hydra keeps a folder for each run; a report leaves nothing behind.
    with tempfile.TemporaryDirectory() as folder:
        flags = [word for word in words if word.startswith("-")]
        arguments = [
            *flags,  # argparse refuses flags between overrides
            f"hydra.run.dir={folder}",
            f"hydra.sweep.dir={folder}",
            *[word for word in words if word not in flags],
        ]
        return run_jobs("complexity", job, __doc__, arguments, "train")


def _report_checkpoint(checkpoints: list[str], words: list[str]) -> None:
    if len(words) > 1:
        raise ConfigError(
            "checkpoint=PATH names a whole codec: it takes no other options, one at a time"
        )
    from tngexp.bitstream.codec_files import load
    from tngexp.evaluation.complexity import measure, measure_hybrid, table
    from tngexp.hybrid.model import load_hybrid
    from tngexp.model.files import locate, read_checkpoint

    path = checkpoints[0].removeprefix(_CHECKPOINT)
    hybrid = "post" in read_checkpoint(locate(path))["tngexp"]["codec"]
    print(table(measure_hybrid(load_hybrid(path)) if hybrid else measure(load(path)), path))
