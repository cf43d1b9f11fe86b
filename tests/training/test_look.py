"""From ``experiment=tng_perceptual`` to a picture: train, export, decompress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import photo

import tngexp
from tngexp.cli.main import main
from tngexp.io import read_checkpoint

Command = Callable[..., tuple[int, str]]
SMALL = ("loss=perceptual", "data.crop=192", "data.val_crop=192", "data.batch_size=1")


def test_a_second_synthesis_is_trained_exported_and_used(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("model=tng", "run_dir=base")[0] == 0
    base = tmp_path / "base" / "checkpoints" / "best.ckpt"
    code, error = command(
        *("model=tng", "experiment=tng_perceptual", f"init_from={base}", "run_dir=run"),
        *(*SMALL, "trainer.max_steps=3", "trainer.val_check_interval=3", "optimizer.lr=1e-2"),
    )
    assert code == 0, error
    run = tmp_path / "run" / "checkpoints" / "best.ckpt"
    before, after = (read_checkpoint(path)["state_dict"] for path in (base, run))
    trained = {
        name for name, t in after.items() if not (name in before and torch.equal(t, before[name]))
    }
    own = ("codec.transform.synthesis.", "codec.noise.")
    assert trained == {name for name in after if name.startswith(own)}
    assert bool(after["codec.noise.projection.weight"].any())  # it has been learned

    look = tmp_path / "looks" / "mine.safetensors"
    photo(90, 70).save(tmp_path / "a.png")
    capfd.readouterr()
    assert main(["look", str(run), "-o", str(look)]) == 0
    assert f"{look}: a look for {base} (" in capfd.readouterr().err
    assert main(["compress", str(tmp_path / "a.png"), "--model", str(base)]) == 0
    picture = tmp_path / "b.png"
    words = ["decompress", str(tmp_path / "a.tng"), "-o", str(picture), "--model", str(base)]
    assert main([*words, "--look", "1", "--look-from", str(look)]) == 0
    data = (tmp_path / "a.tng").read_bytes()
    codec = tngexp.load(base, look=look)
    with Image.open(picture) as image:
        assert np.array_equal(np.asarray(image), np.asarray(codec.decompress(data, look=1)))
    assert not np.array_equal(
        np.asarray(codec.decompress(data, look=1)), np.asarray(tngexp.load(base).decompress(data))
    )
