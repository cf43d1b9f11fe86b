"""Hooks of the documentation's site: the page of options, and links that leave ``docs/``."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tngexp.schema.store import SCHEMA

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_option_and_every_field_is_on_the_page(hooks: ModuleType) -> None:
    page = hooks.options()
    for name, schema in SCHEMA.items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        assert [f.name for f in fields(schema) if f"| `{f.name}` |" not in section] == []
    programs = [path for path in CONF.glob("*.yaml") if not path.stem.startswith("_")]
    choices = [path for path in CONF.glob("*/*.yaml") if not path.stem.startswith("_")]
    titles = [f"\n## python -m tngexp.{path.stem}\n" for path in programs]
    titles += [f"\n### {path.parent.name}={path.stem}\n" for path in choices]
    for title, path in zip(titles, programs + choices, strict=True):
        assert path.read_text(encoding="utf-8").rstrip() in page.split(title)[1].split("\n```\n")[0]


def test_links_out_of_the_site_lead_to_the_repository(hooks: ModuleType) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/a.md"))
    text = (
        "[a](../../README.md#start) [b](../index.md#top) [c](../../conf/train.yaml) [d](b.md) "
        "[e](https://host/x) [f](#below)"
    )
    assert hooks.on_page_markdown(text, page=page) == (
        f"[a]({hooks.SOURCE}README.md#start) [b](../index.md#top) "
        f"[c]({hooks.SOURCE}conf/train.yaml) [d](b.md) [e](https://host/x) [f](#below)"
    )
