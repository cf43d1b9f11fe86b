"""The recipe in CONTRIBUTING.md works: its two files, saved where it says, train and code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from support import photo

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"Save this as `([^`]+)`:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
TINY = (
    "encoder.N=8 encoder.M=12 data.crop=64 data.batch_size=2 data.leaves=2 data.val_images=1 "
    "data.val_crop=64 data.num_workers=0 loss=mse trainer.max_steps=2 trainer.val_check_interval=2 "
    "trainer.accelerator=cpu trainer.enable_progress_bar=false logger=none callbacks=minimal"
)


def in_copy(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder`` with the package that lies there."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        # The copy below the working folder must win over the installed package.
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_added_quantizer_trains_and_codes(tmp_path: Path) -> None:
    for folder in ("tngexp", "conf"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    files = dict(FILE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert sorted(files) == ["conf/quantizer/universal.yaml", "tngexp/quantizers/universal.py"]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    words = ["-m", "tngexp.train", "quantizer=universal", "run_dir=run"]
    result = in_copy(tmp_path, *words, *TINY.split())
    assert result.returncode == 0, result.stdout + result.stderr
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    target = checkpoint["tngexp"]["codec"]["quantizer"]["_target_"]
    assert target == "tngexp.quantizers.universal.Universal"

    # What it trained writes files that come back.
    photo(90, 70).save(tmp_path / "photo.png")
    for command in (
        ["compress", "photo.png", "--model", "run/checkpoints/best.ckpt"],
        ["decompress", "photo.tng", "--model", "run/checkpoints/best.ckpt", "-o", "back.png"],
    ):
        result = in_copy(tmp_path, "-m", "tngexp.cli.main", *command)
        assert result.returncode == 0, result.stdout + result.stderr
    with Image.open(tmp_path / "back.png") as back:
        assert back.size == (90, 70)
