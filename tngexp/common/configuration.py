"""Where the configuration files are, and the small helpers they use.

``conf/`` lies inside the package in an installed wheel and beside it in a checkout.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tngexp.common.folders import expanded
from tngexp.errors import ConfigError

__all__ = ["CONF_DIR", "cache_folder", "full_name", "register_resolvers", "slug", "swept"]


def _find() -> Path:
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    return package / "conf"


CONF_DIR: Path = _find()

# Overrides that surround a run of a screening: the same for all that are compared.
_SURROUNDINGS = (
    *("experiment", "data", "trainer", "logger", "report"),
    *("name", "group", "run_dir", "resume", "max_kmac"),
)


def cache_folder(chosen: str | None = None) -> Path:
    """Where results are kept that can be had again: as chosen, ``TNGEXP_CACHE``, or the usual.

    Raises:
        ConfigError: for a chosen folder of a user who is not known.
    """
    if chosen := chosen or os.environ.get("TNGEXP_CACHE"):
        return expanded(chosen)
    try:
        return expanded("~/.cache/tngexp")
    except ConfigError:  # no home: a folder for each user, since nobody else may write there
        user = str(os.getuid()) if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir(), f"tngexp-{user}")


def slug(text: object, limit: int = 100) -> str:
    """``text`` as one readable path component: no separators, no shell characters, bounded length.

    Override strings become folder names; a value such as ``data.root=../photos`` must not climb
    out of the sweep folder, and file systems stop at 255 bytes.
    """
    safe = re.sub(r"[^A-Za-z0-9_.,=+-]+", "_", str(text)).strip("._")
    return safe[:limit] or "default"


def swept(
    overrides: Iterable[str],
    command_line: Sequence[str] | None = None,
    params: Iterable[str] = (),
) -> str:
    """What tells a job of a sweep from its siblings: ``loss.lmbda=2.4`` of all its ``overrides``.

    A key is swept where the command line gives it several values, or ``params``, the keys of
    ``hydra.sweeper.params``, has it; when that cannot be told (a sweeper may bring its own), all
    overrides are named.
    """
    varied = set(params) | _varied(sys.argv[1:] if command_line is None else command_line)
    given = list(overrides)
    return slug(",".join([o for o in given if o.partition("=")[0] in varied] or given))


def full_name(overrides: Iterable[str], command_line: Sequence[str] | None = None) -> str:
    """All that a job trains: a name for the runs of several commands in one folder.

    What is swept is named, and what concerns codec and optimizer; the data, the budget and what
    else surrounds a run is the folder's, as long as the command gives it one value.
    """
    varied = _varied(sys.argv[1:] if command_line is None else command_line)
    kept = [
        word
        for word in overrides
        if (key := word.partition("=")[0]) in varied
        or re.split("[.=]", key.lstrip("+~"))[0] not in _SURROUNDINGS
    ]
    text = ",".join(kept) or "default"
    name = slug(text, 90)
    # What was shortened, or has characters replaced, might look like another.
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _varied(words: Iterable[str]) -> set[str]:
    """The keys to which a command line gives several values."""
    return {
        key
        for key, _, value in (word.partition("=") for word in words)
        # a,b,c or range(…), choice(…), glob(…); a comma inside of [a,b] is one value
        if "," in re.sub(r"[\[{(][^\]})]*[\]})]", "", value) or re.match(r"\w+\(", value)
    }


def validations(steps: int, number: int) -> int:
    """Steps between validations for ``number`` of them in a run of ``steps``; at least one."""
    return max(1, int(steps) // int(number))


def register_resolvers() -> None:
    """Make ``${slug:…}`` and its like available to the YAML files. Safe to call twice."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("slug", slug, replace=True)
    OmegaConf.register_new_resolver(
        "swept", lambda job, params=None: swept(job, params=params or ()), replace=True
    )
    OmegaConf.register_new_resolver("full_name", lambda job: full_name(job), replace=True)
    OmegaConf.register_new_resolver("validations", validations, replace=True)
    OmegaConf.register_new_resolver("gpus_per_job", _gpus_per_job, replace=True)


def _gpus_per_job() -> int:
    import torch

    return int(torch.cuda.is_available())
