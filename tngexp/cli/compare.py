"""Trained codecs against real ones: ``python -m tngexp.compare runs=[a.ckpt] anchors=[jpeg,bpg]``.

Everything is measured by real files, written and read again, with the same metrics. What comes out
is ``report.html`` with plots, tables and a viewer; the plots and tables also as files.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tngexp.cli.hydra_program import debugging, explain, guarded
from tngexp.common.configuration import CONF_DIR
from tngexp.evaluation.compare import Comparison, compare, log_all, show
from tngexp.schema.store import register_config
from tngexp.types import TngexpError

if TYPE_CHECKING:
    pass

__all__ = ["Comparison", "compare", "main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_config()
    if argv is not None:
        sys.argv[1:] = argv

    failed = False

    def job(config: DictConfig) -> None:
        nonlocal failed
        try:
            comparison = compare(config)
            log_all(config, comparison)
        except (TngexpError, OmegaConfBaseException, OSError) as error:
            # Caught here, since Hydra would add a line of its own to the message.
            message = explain(error, "compare")
            if message is None or debugging():
                raise
            print(f"error: {message}", file=sys.stderr)
            failed = True
            return
        show(comparison)

    job.__module__ = "tngexp.compare"
    entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="compare")(job)
    code = guarded(entry, "compare", __doc__)
    return 2 if failed else code
