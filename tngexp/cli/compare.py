"""Trained codecs against real ones: ``python -m tngexp.compare runs=[a.ckpt] anchors=[jpeg,bpg]``.

Everything is measured by real files, written and read again, with the same metrics. What comes out
is ``report.html`` with plots, tables and a viewer; the plots and tables also as files.
"""

from __future__ import annotations

from omegaconf import DictConfig

from tngexp.cli.hydra_program import run_program

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_program("compare", _job, __doc__, argv)


def _job(config: DictConfig) -> None:
    # Imported here: measuring loads torch, which --help and --cfg do without.
    from tngexp.evaluation.compare import compare, log_all, show

    comparison = compare(config)
    log_all(config, comparison)
    show(comparison)
