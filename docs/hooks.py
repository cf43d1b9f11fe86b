"""What MkDocs does to pages: fills in the options, leads links out of ``docs/`` to the source."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = "https://github.com/tngexp/tngexp/blob/main/"
_OPTIONS = "<!-- options -->"
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    here = Path("docs") / Path(page.file.src_uri).parent
    if _OPTIONS in markdown:
        markdown = markdown.replace(_OPTIONS, options())

    def lead_out(match: re.Match[str]) -> str:
        target = os.path.normpath(here / match[1])
        if target.startswith("docs/"):
            return match[0]
        return f"]({SOURCE}{target}{match[2] or ''})"

    return _LINK.sub(lead_out, markdown)


def options() -> str:
    """Every option of every group, from the schema and from ``conf/`` with its comments."""
    sys.path.insert(0, str(ROOT))
    from tngexp.schema.store import SCHEMA

    parts = []
    for name, schema in SCHEMA.items():
        about = " ".join((schema.__doc__ or "").split())
        rows = "\n".join(f"| `{f.name}` | `{_kind(f.type)}` |" for f in fields(schema))
        parts.append(f"## {name}\n\n{about}\n\n| option | type |\n|---|---|\n{rows}\n")
    programs = ("train", "evaluate", "compare", "screen", "study")
    parts += [_file(ROOT / "conf" / f"{p}.yaml", f"python -m tngexp.{p}", 2) for p in programs]
    for folder in sorted(path for path in (ROOT / "conf").iterdir() if path.is_dir()):
        parts.append(f"## {folder.name}=…\n")
        parts += [_file(path, f"{folder.name}={path.stem}", 3) for path in _choices(folder)]
    return "\n".join(parts)


def _choices(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.yaml")) if not path.stem.startswith("_")]


def _kind(annotation: Any) -> str:
    return str(annotation).replace(" | ", " or ")


def _file(path: Path, title: str, level: int) -> str:
    text = path.read_text(encoding="utf-8").rstrip()
    return f"{'#' * level} {title}\n\n```yaml\n{text}\n```\n"
