"""Calls of earlier versions' screening, which trained by itself, as the commands of today."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config

__all__ = ["commands_of_today"]

_GONE = ("variants", "seeds", "steps", "points", "common", "dataset", "dataset_options")
_TRAIN = "python -m tngexp.train -m experiment=screen"


def commands_of_today(words: Sequence[str]) -> str | None:
    """What to type instead of an earlier version's command line; None for one of today.

    Args:
        words: of ``python -m tngexp.screen``.
    """
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    if not any(key in given for key in _GONE) and ("base" not in given or "runs" in given):
        return None
    out = given.get("out", "screens")
    trainings = [shlex.join([*_TRAIN.split(), *line]) for line in _trainings(given, out)]
    kept = [f"{key}={given[key]}" for key in ("confidence", "name") if key in given]
    kept += [word for word in words if word.startswith("logger")]
    analysis = shlex.join(["python", "-m", "tngexp.screen", f"runs={out}", *kept])
    return "\n  ".join(
        [
            "a screening is a sweep and the analysis of it: train with python -m tngexp.train, "
            "then compare with python -m tngexp.screen runs=…. This call is now",
            *trainings,
            analysis,
        ]
    )


def _trainings(given: Mapping[str, str], out: str) -> list[list[str]]:
    """The overrides of each command that trains: one, or one for the base and each variant."""
    base = _joined(given.get("base", "tng"))
    base[0] = base[0] if "=" in base[0] else f"model={base[0]}"
    shared = _shared(given)
    config = _composed([*base, *shared])
    if "common" in given and not any(word.startswith("rate=") for word in [*base, *shared]):
        # Without rate=fixed in it, the rate was the model's own.
        rate = None if config is None else config.hydra.runtime.choices.get("rate")
        base += [f"rate={rate}"] if rate not in (None, "fixed") else []
    seeds = given.get("seeds", "3")
    number = int(seeds) if seeds.isdecimal() else 3
    values = ",".join(map(str, range(number))) if number <= 10 else f"range({number})"
    common = [*shared, f"seed={values}", f"hydra.sweep.dir={out}"]
    variants = [_joined(text) for text in _items(given.get("variants", "[]"))]
    together = _together(variants, base, config)
    if together is not None:
        key = together.partition("=")[0]
        return [[*_without(base, [key]), together, *common]]
    lines = [[*base, *common]]
    for variant in variants:
        keys = [word.partition("=")[0] for word in variant]
        lines.append([*_without(base, keys), *variant, *common])
    return lines


def _shared(given: Mapping[str, str]) -> list[str]:
    words = [word for word in _items(given.get("common", "[]")) if word != "rate=fixed"]
    if given.get("dataset", "sample") != "sample":
        words.append(f"data={given['dataset']}")
    words += _items(given.get("dataset_options", "[]"))
    if "steps" in given:
        words.append(f"trainer.max_steps={given['steps']}")
    if "points" in given:
        steps, points = given.get("steps", "400"), given["points"]
        if steps.isdecimal() and points.isdecimal() and int(points):
            words.append(f"trainer.val_check_interval={max(1, int(steps) // int(points))}")
    return words


def _together(
    variants: Sequence[Sequence[str]], base: Sequence[str], config: DictConfig | None
) -> str | None:
    """``quantizer=mixed,ste`` where all variants change one and the same option."""
    pairs = [variant[0].partition("=") for variant in variants if len(variant) == 1]
    if not variants or len(pairs) < len(variants) or len({key for key, _, _ in pairs}) > 1:
        return None
    key = pairs[0][0]
    own: Any = next((w.partition("=")[2] for w in base if w.partition("=")[0] == key), None)
    if own is None and config is not None:
        own = config.hydra.runtime.choices.get(key)
        own = OmegaConf.select(config, key) if own is None else own
    if isinstance(own, bool) or not isinstance(own, str | int | float):
        return None
    values = [value for _, _, value in pairs]
    return f"{key}={','.join(dict.fromkeys([str(own), *values]))}"


def _composed(words: Sequence[str]) -> DictConfig | None:
    register_config()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return compose("train", list(words), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):
        return None  # the training will say what is wrong with them
    finally:
        GlobalHydra.instance().clear()


def _joined(text: str) -> list[str]:
    """``gmm+encoder.N=96`` as its parts."""
    return [word for word in text.strip("'\" ").split("+") if word] or ["tng"]


def _items(text: str) -> list[str]:
    """A list as it was typed, with quotes or without."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    # Commas inside of a value's own brackets do not end it.
    found = re.findall(r"(?:[^,\[\]{}]|\[[^\]]*\]|\{[^}]*\})+", inner)
    return [item.strip(" '\"") for item in found]


def _without(words: Sequence[str], keys: Sequence[str]) -> list[str]:
    return [word for word in words if word.partition("=")[0] not in keys]
