"""Does my idea work? ``python -m tngexp.screen runs=multirun/screen``.

Reads a finished sweep and says of each variant whether its RD loss is better than the base's,
worse, or cannot be told apart, with how much certainty and for how much compute. The sweep is an
ordinary one: ``python -m tngexp.train -m experiment=screen seed=0,1,2 quantizer=mixed,ste``.
"""

from __future__ import annotations

import sys
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp.cli.hydra_program import debugging, explain, guarded
from tngexp.cli.screen_before import commands_of_today
from tngexp.common.configuration import CONF_DIR
from tngexp.common.folders import shown_path
from tngexp.common.terminal import console
from tngexp.errors import TngexpError
from tngexp.report.text import print_table
from tngexp.schema.store import register_config
from tngexp.studies.screen import Screening, log_screening, screen

__all__ = ["Screening", "main", "screen"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_config()
    words = sys.argv[1:] if argv is None else argv
    today = commands_of_today(words)
    if today is not None:
        print(f"error: {today}", file=sys.stderr)
        return 2
    sys.argv[1:] = [_quoted(word) for word in words]
    code = 0

    def job(config: DictConfig) -> None:
        nonlocal code
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            result = screen(plain)
            for note in result.notes:
                print(f"warning: {note}", file=sys.stderr)
            log_screening(plain, result)
        except (TngexpError, OmegaConfBaseException, OSError) as error:
            message = explain(error, "screen")
            if message is None or debugging():
                raise
            print(f"error: {message}", file=sys.stderr)
            code = 2
            return
        print_table(console(), result.table)
        print(f"plot in {shown_path(result.plot)}")

    job.__module__ = "tngexp.screen"
    entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="screen")(job)
    return guarded(entry, "screen", __doc__) or code


def _quoted(word: str) -> str:
    """``base=quantizer=mixed`` as Hydra wants it: a value with = in it needs quotes."""
    key, _, value = word.partition("=")
    if key not in ("base", "runs") or "=" not in value or value[0] in "'\"[{":
        return word
    return f"{key}='{value}'"
