"""Ask people: ``python -m tngexp.study runs=[a.ckpt] anchors=[jpeg,bpg] bpp=0.15``.

What comes out is one HTML file that works offline: pairs of pictures of equal bytes, without the
names of their codecs, of which a person says which is closer to the original. It gives their votes
as a file. ``python -m tngexp.study results=[DIR]`` makes scores with 95 % intervals of such files.
"""

from __future__ import annotations

from omegaconf import DictConfig

from tngexp.cli.hydra_program import run_program

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_program("study", _job, __doc__, argv)


def _job(config: DictConfig) -> None:
    # Imported here: coding loads torch, which --help and --cfg do without.
    if config.results:
        from tngexp.people.analysis import analyse, show_scores

        show_scores(analyse(config))
    else:
        from tngexp.people.making import make_study, show_study

        show_study(make_study(config))
