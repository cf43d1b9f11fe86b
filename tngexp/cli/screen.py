"""Does my idea work? ``python -m tngexp.screen runs=multirun/screen``.

Reads a finished sweep and says of each variant whether its RD loss is better than the base's,
worse, or cannot be told apart, with how much certainty and for how much compute. The sweep is an
ordinary one: ``python -m tngexp.train -m experiment=screen seed=0,1,2 quantizer=mixed,ste``.
"""

from __future__ import annotations

import sys
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tngexp.cli.hydra_program import run_program
from tngexp.cli.screen_before import commands_of_today
from tngexp.common.folders import shown_path
from tngexp.common.terminal import console

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    today = commands_of_today(words)
    if today is not None:
        print(f"error: {today}", file=sys.stderr)
        return 2
    return run_program("screen", _job, __doc__, [_quoted(word) for word in words])


def _job(config: DictConfig) -> None:
    # Imported here: the analysis loads torch, which --help and --cfg do without.
    from tngexp.report.text import print_table
    from tngexp.studies.screen import log_screening, screen

    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    result = screen(plain)
    for note in result.notes:
        print(f"warning: {note}", file=sys.stderr)
    log_screening(plain, result)
    print_table(console(), result.table)
    print(f"plot in {shown_path(result.plot)}")


def _quoted(word: str) -> str:
    """``base=quantizer=mixed`` as Hydra wants it: a value with = in it needs quotes."""
    key, _, value = word.partition("=")
    if key not in ("base", "runs") or "=" not in value or value[0] in "'\"[{":
        return word
    return f"{key}='{value}'"
