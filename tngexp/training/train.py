"""Training as a function: what ``python -m tngexp.train`` does, without its printing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tngexp.runs.interrupt import StopRequest
from tngexp.runs.summary import TrainResult

__all__ = ["train"]


def train(
    config: DictConfig | Mapping[str, Any],
    stop: StopRequest | None = None,
    finished: Callable[[TrainResult, Any], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train as ``config`` says, in this process; the command line's work without its printing.

    Args:
        config: ``conf/train.yaml`` as composed by Hydra, with ``run_dir`` set.
        stop: set it from another thread or a callback to end the run after the current step.
        finished: called with the result and the run's logger, which is still open.
        tell: called with a line about the weights that the run starts from.

    Raises:
        TngexpError: for everything the user can fix.
    """
    # Imported here: the engine loads Lightning, which --help and --cfg do without.
    from tngexp.training.engine import run

    config = config.copy() if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    config.name = config.get("name") or "run"
    config.run_dir = config.get("run_dir") or f"outputs/{config.name}"
    for option in ("run_dir", "resume", "init_from"):
        if isinstance(config.get(option), Path):
            config[option] = str(config[option])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return run({str(key): value for key, value in plain.items()}, stop, finished, tell)
