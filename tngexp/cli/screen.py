"""Does my idea work? ``python -m tngexp.screen base=tng variants=[quantizer=ste] seeds=3``.

Trains the base and each variant for the same few hundred steps with the same seeds, and says of
each variant whether its RD loss is better, worse, or cannot be told apart, with how much certainty
and for how much compute. Running the same command again goes on where it stopped.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp.cli.hydra_program import debugging, explain, guarded
from tngexp.common.configuration import CONF_DIR
from tngexp.common.folders import shown_path
from tngexp.common.terminal import console
from tngexp.report.text import print_table
from tngexp.runs.interrupt import Interrupted
from tngexp.schema.store import register_config
from tngexp.studies.screen import Screening, log_screening, screen
from tngexp.types import TngexpError

__all__ = ["Screening", "main", "screen"]

_OF_OVERRIDES = ("base", "variants", "common", "dataset_options")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_config()
    sys.argv[1:] = [_quoted(word) for word in (sys.argv[1:] if argv is None else argv)]

    code = 0

    def job(config: DictConfig) -> None:
        nonlocal code
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            result = screen(plain)
            log_screening(plain, result)
        except Interrupted as error:
            print(f"{error}\nRun the same command again to go on.", file=sys.stderr)
            code = error.exit_code
            return
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
    """``variants=[quantizer=ste]`` as Hydra wants it: a value with = in it needs quotes."""
    key, _, value = word.partition("=")
    if key not in _OF_OVERRIDES or "=" not in value or "'" in value or '"' in value:
        return word
    if not (value.startswith("[") and value.endswith("]")):
        return f"{key}='{value}'"
    # Commas inside of a value's own brackets do not end it.
    items = re.findall(r"(?:[^,\[\]{}]|\[[^\]]*\]|\{[^}]*\})+", value[1:-1])
    return f"{key}=[{','.join(repr(item.strip()) for item in items)}]"
