"""What must be the same in runs whose validation losses are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tngexp.common.folders import shown_path
from tngexp.studies.contents import CONTENTS
from tngexp.studies.identity import differences
from tngexp.studies.screen_runs import ScreenedRun, Variants
from tngexp.types import ConfigError

__all__ = ["check_comparable"]


def check_comparable(variants: Variants) -> None:
    """Raise ConfigError unless all runs are as long, and measured and trained on the same.

    Photos to train on may differ where ``data`` is what the variants differ in.
    """
    runs = [run for of_variant in variants.runs.values() for run in of_variant.values()]
    _check_steps(runs)
    first = runs[0]
    for run in runs[1:]:
        changed = differences(_measure(first.config), _measure(run.config))
        if changed:
            raise ConfigError(
                f"the losses of {shown_path(first.folder)} and {shown_path(run.folder)} do not "
                f"compare, because they measure differently ({', '.join(changed)}); screen what "
                "leaves loss, rate and the validation photos as they are, or compare files: "
                "python -m tngexp.compare"
            )
    if any(option.partition(".")[0] == "data" for option in variants.options):
        return
    for value, base in variants.runs[variants.base].items():
        for of_variant in variants.runs.values():
            run = of_variant.get(value, base)
            if _photos(run) != _photos(base):
                raise ConfigError(
                    f"{shown_path(base.folder)} and {shown_path(run.folder)} have trained on other "
                    "photos than each other, under one path; delete one of the two and repeat the "
                    "command that trained it"
                )


def _check_steps(runs: Sequence[ScreenedRun]) -> None:
    lengths: dict[int, list[ScreenedRun]] = {}
    for run in runs:
        lengths.setdefault(run.curve.steps[-1], []).append(run)
    if len(lengths) > 1:
        listed = ", ".join(
            f"{steps} ({shown_path(of_length[0].folder)}"
            f"{f' and {len(of_length) - 1} more' if len(of_length) > 1 else ''})"
            for steps, of_length in sorted(lengths.items())
        )
        raise ConfigError(
            f"the runs have trained for different numbers of steps: {listed}; compare those of one "
            "length: sweep each into a folder of its own, hydra.sweep.dir=DIR, or list the runs, "
            "runs=[DIR,DIR]"
        )


def _measure(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a validation loss depends on besides the weights."""
    contents = config.get(CONTENTS) or {}
    return {
        "loss": config["loss"],
        "codec of loss.features": contents.get("features"),
        "rate": config["rate"].get("_target_"),
        "data.val_crop": config["data"].get("val_crop"),
        "validation photos": contents.get("val_photos"),
    }


def _photos(run: ScreenedRun) -> str | None:
    contents: Mapping[str, str | None] = run.config.get(CONTENTS) or {}
    return contents.get("train_photos")
