"""Small untrained codecs in checkpoint files, and a way to call the tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from support import checkpoint, codec_config

from tngexp.cli.main import main
from tngexp.model.codec import Codec


class Result(NamedTuple):
    code: int
    out: str
    err: str


def _model(path: Path, seed: int, **choices: str) -> Path:
    torch.manual_seed(seed)
    codec = Codec.from_config(codec_config(**choices)).eval()
    with torch.no_grad():  # latents of an untrained codec are all zero otherwise
        convs = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)]
        convs[-1].weight.mul_(100)
    return checkpoint(codec, path)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "fixed": _model(folder / "fixed.ckpt", 0),
        "other": _model(folder / "other.ckpt", 1),
        "variable": _model(folder / "variable.ckpt", 0, rate="variable"),
    }


@pytest.fixture
def model(models: dict[str, Path]) -> str:
    return str(models["fixed"])


@pytest.fixture(autouse=True)
def _plain_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("TNGEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("TNGEXP_MODEL", raising=False)
    monkeypatch.delenv("TNGEXP_DEBUG", raising=False)


@pytest.fixture
def tng(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the tool in this process."""

    def run(*words: object) -> Result:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        return Result(code, *capsys.readouterr())

    return run
