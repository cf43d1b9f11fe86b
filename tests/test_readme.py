"""What the documentation names exists: commands, links, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tngexp.cli.screen import _quoted
from tngexp.cli.train import as_hydra_reads
from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BASH = re.compile(r"```bash\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TRAIN = "python -m tngexp.train"
# CONTRIBUTING.md and the tutorial add these options; tests of their own run them.
ADDED = ("universal", "narrowing")


def lines(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip() for block in BASH.findall(text) for line in block.splitlines()]


def commands() -> list[str]:
    found = {line for page in PAGES for line in lines(page) if line.startswith(TRAIN)}
    return sorted(
        line for line in found if "--help" not in line and not any(name in line for name in ADDED)
    )


@pytest.mark.parametrize("command", commands())
def test_training_commands_compose(command: str) -> None:
    words = shlex.split(command.removeprefix(TRAIN), comments=True)
    sweep = "-m" in words or "--multirun" in words
    config_dir = "--config-dir" in words
    if config_dir:  # a placeholder for a folder of the reader's
        return
    overrides = [word for word in as_hydra_reads(words) if "=" in word and word[0] != "-"]
    if sweep:  # the first value of each; options and numbers compose alike
        overrides = [re.sub(r"=([^,\[]*),.*", r"=\1", word) for word in overrides]
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", overrides)
    assert {"encoder", "quantizer", "prior", "rate", "loss"} <= config.keys()


@pytest.mark.parametrize("program", ["evaluate", "compare", "screen", "study"])
def test_commands_of_other_programs_compose(program: str) -> None:
    prefix = f"python -m tngexp.{program} "
    found = [line for page in PAGES for line in lines(page) if line.startswith(prefix)]
    assert found
    register_config()
    for line in found:
        words = shlex.split(line.removeprefix(prefix), comments=True)
        if program == "screen":
            words = [_quoted(word) for word in words]
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            assert "out" in compose(program, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    named = set(re.findall(r"[\w/-]+\.md", navigation))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[2:]}
    assert named == pages


def test_first_commands_are_make_targets() -> None:
    first = [shlex.split(line, comments=True) for line in lines(ROOT / "README.md")[:2]]
    assert first == [["make", "train"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for _, target in first:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
