"""``tng compress --effort``: a search per file, which Ctrl-C ends without losing what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import photo

from tngexp.bitstream.effort import Refined
from tngexp.cli.main import main
from tngexp.types import Latents


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, path in enumerate(paths):
        photo(60 + number, 50).save(path)
    return [str(path) for path in paths]


def test_an_effort_writes_an_ordinary_file(images: list[str], tmp_path: Path) -> None:
    plain, searched, back = (str(tmp_path / name) for name in ("p.tng", "s.tng", "s.png"))
    assert main(["compress", images[0], "-o", plain]) == 0
    assert main(["compress", images[0], "-o", searched, "--effort", "3", "--tune", "mse"]) == 0
    assert Path(plain).read_bytes() != Path(searched).read_bytes()
    assert main(["decompress", searched, "-o", back]) == 0
    assert main(["info", searched]) == 0


def test_ctrl_c_writes_the_best_so_far_and_stops(
    images: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(model: object, latents: Latents, *_: Any, **__: Any) -> Refined:
        return Refined(latents, finished=False)

    monkeypatch.setattr("tngexp.bitstream.effort.image.refine", interrupted)
    assert main(["compress", *images, "--effort", "5"]) == 130
    first, second = (Path(image).with_suffix(".tng") for image in images)
    assert first.is_file()
    assert not second.exists()
    assert "1 of 2 files compressed" in capsys.readouterr().err
    # The same again goes on behind the file whose search was cut short.
    assert main(["compress", *images, "--effort", "5"]) == 130
    assert second.is_file()
    assert "1 skipped" in capsys.readouterr().err
    assert main(["decompress", str(second), "-o", str(second.with_name("back.png"))]) == 0


def test_an_effort_meets_a_target(images: list[str], tmp_path: Path) -> None:
    words = ["compress", *images, "--target-bpp", "0.5"]
    for folder, effort in (("plain", []), ("searched", ["--effort", "2"])):
        assert main([*words, *effort, "-o", str(tmp_path / folder)]) == 0
    for name, width in (("a.tng", 60), ("b.tng", 61)):
        plain, searched = (
            (tmp_path / folder / name).read_bytes() for folder in ("plain", "searched")
        )
        assert searched != plain
        assert 8 * len(searched) <= 0.5 * width * 50


def test_ctrl_c_in_a_search_for_a_target_writes_what_meets_it(
    images: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(model: object, latents: Latents, *_: Any, **__: Any) -> Refined:
        return Refined(latents, finished=False)

    monkeypatch.setattr("tngexp.bitstream.effort.image.refine", interrupted)
    assert main(["compress", *images, "--effort", "5", "--target-bpp", "0.5"]) == 130
    first, second = (Path(image).with_suffix(".tng") for image in images)
    assert 8 * first.stat().st_size <= 0.5 * 60 * 50
    assert not second.exists()
    assert "1 of 2 files compressed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--effort", "10"], "invalid choice"),
        (["--effort", "-1"], "invalid choice"),
        (["--effort", "much"], "invalid int value"),
        (["--effort", "1", "--tune", "ssim"], "invalid choice"),
        (["--tune", "mse"], "add --effort"),
        (["--effort", "1", "--target-psnr", "99"], "cannot reach 99 dB PSNR"),
        (["--effort", "1", "--target-bpp", "1", "--tune", "msssim"], "too small to search"),
        (["--effort", "1", "--tune", "msssim"], "60×50 pixels is too small to search for msssim"),
        (["--effort", "1", "--model", "tng-subjective"], "too small to search for msssim"),
    ],
)
def test_what_cannot_be_is_one_message(
    words: list[str], message: str, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["compress", images[0], *words])
    except SystemExit as stop:  # argparse's own
        code = int(str(stop.code))
    assert code == 2
    assert message in capsys.readouterr().err
    assert not Path(images[0]).with_suffix(".tng").exists()
