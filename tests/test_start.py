"""What programs load before they say anything: a second of CPU is a second that somebody waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import checkpoint, codec_config, photo

from tngexp.bitstream import ImageCodec
from tngexp.model.codec import Codec

HEAVY = ("torch", "lightning", "numba", "scipy", "matplotlib", "wandb", "pandas")

CODE = """
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = module
try:
    runpy.run_module(module, run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded", *[name for name in {names} if name in sys.modules], file=sys.stderr)
"""


def loaded(names: tuple[str, ...], module: str, *words: object) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(names=names), module, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr.splitlines()[-1].split()[1:]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> ImageCodec:
    return ImageCodec(Codec.from_config(codec_config())).eval()


@pytest.mark.parametrize(
    "words",
    [
        ("tngexp.cli.main", "--help"),
        ("tngexp.cli.main", "--version"),
        ("tngexp.cli.main", "models"),
        ("tngexp.cli.main", "compress", "--help"),
        ("tngexp.decompress", "--help"),
        ("tngexp.train", "--help"),
        ("tngexp.train", "--cfg", "job", "model=tng"),
        *((f"tngexp.{name}", "--help") for name in ("compare", "complexity", "evaluate")),
        *((f"tngexp.{name}", "--help") for name in ("screen", "study")),
        ("tngexp.compare", "--cfg", "job", "runs=a.ckpt"),
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    assert loaded(HEAVY, *words) == []


def test_info_needs_no_torch(codec: ImageCodec, tmp_path: Path) -> None:
    (tmp_path / "a.tng").write_bytes(codec.compress(photo(9, 9)))
    assert loaded(HEAVY, "tngexp.cli.main", "info", tmp_path / "a.tng") == []


def test_coding_needs_nothing_of_training(codec: ImageCodec, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    model = checkpoint(codec, tmp_path / "model.safetensors")
    foreign = ("lightning", "hydra", "omegaconf", "piq", "matplotlib", "rich", "wandb", "pandas")
    words = ("compress", tmp_path / "a.png", "--model", model)
    assert loaded(foreign, "tngexp.cli.main", *words) == []
    words = ("decompress", tmp_path / "a.tng", "-o", tmp_path / "b.png", "--model", model)
    assert loaded(foreign, "tngexp.cli.main", *words) == []
