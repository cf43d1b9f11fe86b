"""What earlier files say in another way than files of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tngexp.schema.renamed import modernise_trainer

__all__ = ["modernise", "modernise_run"]

# λ lay in the rate component, as a copy of the loss's.
_RATES = ("tngexp.rate.fixed.FixedRate", "tngexp.rate.variable.VariableRate")
_LMBDA = ("lmbda", "lmbda_min", "lmbda_max")

_CONDITIONAL = "tngexp.priors.conditional.ConditionalPrior"

# Options of ``conf/train.yaml`` that did not exist, with what every run did.
_RUN_DEFAULTS: dict[str, Any] = {"init_parts": "all", "freeze": [], "noise": None}


def modernise(codec_config: Mapping[str, Any]) -> dict[str, Any]:
    """A codec's description as today's components take it; a description of today unchanged."""
    config = dict(codec_config)
    prior = config.get("prior")
    if isinstance(prior, Mapping) and prior.get("_target_") == _CONDITIONAL:
        config["prior"] = {**prior, "family": prior.get("family", "gaussian")}  # there was one
    if isinstance(config.get("rate"), Mapping):
        config["rate"] = _rate(config["rate"])
    return config


def modernise_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training's configuration with the keys of today, so that earlier runs compare to it."""
    return {**_RUN_DEFAULTS, **modernise_trainer(modernise(config))}


def _rate(config: Mapping[str, Any]) -> dict[str, Any]:
    ours = config.get("_target_") in _RATES
    return {key: value for key, value in config.items() if not (ours and key in _LMBDA)}
