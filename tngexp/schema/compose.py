"""A training's configuration for programs that are not started by Hydra."""

from __future__ import annotations

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config

__all__ = ["configuration"]


def configuration(*overrides: str, name: str = "train") -> dict[str, Any]:
    """``conf/train.yaml`` with overrides as on the command line, resolved and plain.

    Args:
        overrides: ``"model=gmm"``, ``"encoder.N=64"``.
        name: of another program's configuration.

    Raises:
        hydra.errors.HydraException: for an override that cannot be applied.
    """
    register_config()
    state = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose(name, list(overrides)).copy()
    finally:
        GlobalHydra.instance().hydra = state
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    for key in ("run_dir", "name", "group"):
        config.setdefault(key, None)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return plain
