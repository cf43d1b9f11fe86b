"""Words of a command line that mean something else to a user than to Hydra."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

__all__ = ["as_text", "without_null_groups"]

# Last parts of the options, of all programs, whose values are paths or names.
_TEXT = {
    *("run_dir", "resume", "init_from", "root", "val_root", "val_folder", "folder", "dir"),
    *("file", "val_file"),
    *("subdir", "out", "cache", "checkpoint", "runs", "published", "reference"),
    *("name", "group", "project", "tags", "id"),
}
# Groups that are off unless chosen.
_OFF = ("experiment", "sweep", "search")
# What Hydra's grammar takes for a number or a truth value; 2024_01 is 202401 to it.
_NUMBER = re.compile(
    r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d[\d_]*)?|[+-]?(inf|nan)|true|false", re.I
)
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_TOKEN = re.compile(rf"{_QUOTED}|[^\[\]{{}},:'\"]+")


def as_text(words: Iterable[str]) -> list[str]:
    """``data.root=2024`` as ``data.root="2024"``, and the like for every path and name.

    The items of lists, of mappings and of a sweep's values are quoted one by one; ``null`` stays
    what it is.
    """
    return [_as_text(word) for word in words]


def without_null_groups(words: Iterable[str], groups: Collection[str]) -> list[str]:
    """``logger=null`` as ``~logger``, which is how Hydra takes a group out.

    Args:
        words: of a command line.
        groups: the groups of options there are.
    """
    kept = []
    for word in words:
        group, _, value = word.partition("=")
        name = group.lstrip("+")
        if value != "null" or name not in groups:
            kept.append(word)
        elif name not in _OFF:
            kept.append(f"~{name}")
    return kept


def _as_text(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or key.lstrip("+~").rpartition(".")[2] not in _TEXT or "(" in value:
        return word  # range(…) and its like are about numbers

    def quoted(match: re.Match[str]) -> str:
        token = match[0].strip()
        is_key = value[match.end() : match.end() + 1] == ":"
        if is_key or not _NUMBER.fullmatch(token):
            return match[0]
        return match[0].replace(token, f'"{token}"')

    return key + equals + _TOKEN.sub(quoted, value)
