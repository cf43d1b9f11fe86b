"""``--help`` of the Hydra entry points.

Hydra's own lists the same, and takes seconds to: it copies all configurations for every group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from tngexp.common.configuration import CONF_DIR

__all__ = ["asks_for_help", "help_text"]

_HELP = ("-h", "--help")
_IGNORED = ("-m", "--multirun")
_FLAGS = """\
-m, --multirun      one job for each combination of comma-separated values
--cfg job           print the configuration and stop
--config-dir DIR    look for options there, too
--hydra-help        all flags, and how overrides are written"""


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether a command line asks for our help; with flags that we do not know, Hydra's is shown.

    Args:
        words: without the program.
    """
    if not any(word in _HELP for word in words):
        return False
    overrides, _ = _split(words)
    return not any(word.startswith("-") for word in overrides)


def help_text(config_name: str, about: str, words: Sequence[str]) -> str:
    """What can be set, and what it is with the overrides of the command line.

    Args:
        config_name: of ``conf/``.
        about: a text about the program.
        words: the command line without the program.

    Raises:
        HydraException: for overrides that cannot be applied.
    """
    overrides, folders = _split(words)
    if folders:
        places = ",".join(f"'file://{folder}'" for folder in folders)
        overrides.append(f"hydra.searchpath=[{places}]")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose(config_name, overrides)
    finally:
        GlobalHydra.instance().clear()
    groups = _groups([CONF_DIR, *folders])
    listed = "\n".join(f"{group}: {', '.join(sorted(names))}" for group, names in groups.items())
    return (
        f"{about.strip()}\n\n== Flags ==\n{_FLAGS}\n\n"
        f"== Groups (group=option) ==\n{listed}\n\n"
        f"== Options (name=value, group.name=value) ==\n{OmegaConf.to_yaml(config)}"
    )


def _split(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Overrides, and the folders of ``--config-dir``."""
    overrides, folders = [], []
    rest = iter([word for word in words if word not in (*_HELP, *_IGNORED)])
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(Path(value if equals else next(rest, "")).absolute())
        else:
            overrides.append(word)
    return overrides, folders


def _groups(folders: Sequence[Path]) -> dict[str, set[str]]:
    """The options of each group, Hydra's own left out."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            common = file.stem.startswith("_")  # to options of the group, and none itself
            if group != "." and group.partition("/")[0] != "hydra" and not common:
                found.setdefault(group, set()).add(file.stem)
    return dict(sorted(found.items()))
