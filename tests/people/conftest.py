"""A small study of real files, made by the program, and answers to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from support import photo

from tngexp import study as entry
from tngexp.people.key import Study, read_study

LABELS = ("JPEG 4:2:0", "WebP", "AVIF 4:4:4")


class Made(NamedTuple):
    page: Path
    study: Study
    photos: Path
    words: list[str]  # that make it


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three anchors on three photos: nine pairs, and two catch trials."""
    folder = tmp_path_factory.mktemp("study")
    photos = folder / "photos"
    photos.mkdir()
    for index in range(3):
        image = photo(170 + index, 130)
        image.save(photos / f"photo{index}.png")
    words = [
        "anchors=[jpeg,webp,avif]",
        "data=folder",
        f"data.root={photos}",
        "size=[144,96]",
        "bpp=2",
        "tolerance=0.2",
        "catches=2",
        f"cache={folder / 'cache'}",
        f"out={folder / 'out'}",
    ]
    assert entry.main(words) == 0
    out = folder / "out"
    return Made(out / "study.html", read_study(out / "study.json"), photos, words)


@pytest.fixture
def answer(made: Made, tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of results as the page gives it."""

    def write(
        name: str,
        choices: Sequence[tuple[str, str]],
        *,
        caught: Sequence[str] = ("a", "a"),
        complete: bool = True,
        session: str = "",
        study: str = "",
    ) -> Path:
        catches = [made.study.catch_id(p) for p in made.study.catches[: len(caught)]]
        votes = [{"pair": pair, "chosen": chosen} for pair, chosen in choices]
        votes += [{"pair": c, "chosen": a} for c, a in zip(catches, caught, strict=True)]
        content = {
            "format": "tngexp-study-results",
            "version": 1,
            "study": study or made.study.id,
            "session": session or name,
            "complete": complete,
            "votes": votes,
        }
        path = tmp_path / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write
