"""Looks as files: what they hold, and whose they are."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_look import CHANNELS, Small, small_look
from support import checkpoint, photo

import tngexp
from tngexp import zoo
from tngexp.bitstream.looks import read_look
from tngexp.io import load, save_look
from tngexp.model.files import LOOK, read_checkpoint
from tngexp.types import CheckpointError, ConfigError

SIZE = 90, 70


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_look(tmp_path_factory.mktemp("look"))


def test_a_codec_and_a_look_are_not_mistaken_for_each_other(small: Small, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a look, which goes with a codec and is none"):
        load(small.look)
    with pytest.raises(CheckpointError, match=r"not a look; .* becomes a look with tng look"):
        load(small.base, look=small.trained)
    tngexp.io.save(load(small.base), tmp_path / "base.safetensors")
    with pytest.raises(CheckpointError, match="safetensors, but not a look"):
        read_look(tmp_path / "base.safetensors")


def changed(small: Small, path: Path, *, about: object = None, **tensors: torch.Tensor) -> Path:
    with safe_open(small.look, framework="pt") as file:
        metadata = file.metadata()
    if about is not None:
        metadata = {LOOK: json.dumps(about)}
    save_file(load_file(small.look) | tensors, path, metadata)
    return path


def test_a_damaged_look(small: Small, tmp_path: Path) -> None:
    whole = small.look.read_bytes()
    path = tmp_path / "bad.safetensors"
    for data in (b"", whole[:5], whole[:400], whole[:-1], b"x" * 1000, whole[:8] + b"{" * 2000):
        path.write_bytes(data)
        with pytest.raises(
            CheckpointError, match=r"bad\.safetensors: (not a look|the look is dam)"
        ):
            read_look(path)
    with safe_open(small.look, framework="pt") as file:
        about = json.loads(file.metadata()[LOOK])
    for wrong in (
        {},
        [],
        {**about, "model": "zz"},
        {**about, "model": 3},
        {**about, "noise": {"_target_": "os.system", "command": "true"}},
        {**about, "noise": {**about["noise"], "channels": 9}},
        {**about, "noise": "loud"},
    ):
        with pytest.raises(
            CheckpointError, match=r"bad\.safetensors: (the look is dam|safetensors)"
        ):
            read_look(changed(small, path, about=wrong))
    with pytest.raises(CheckpointError, match="written by a newer tngexp"):
        read_look(changed(small, path, about={**about, "format": 2}))
    infinite = {"synthesis.0.bias": torch.full((32,), float("inf"), dtype=torch.float16)}
    with pytest.raises(CheckpointError, match="its weights are not finite"):
        read_look(changed(small, path, **infinite))
    with pytest.raises(CheckpointError, match="not those of a synthesis of model"):
        load(small.base, look=changed(small, path, **{"synthesis.more": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"no readable look \(No such file"):
        read_look(tmp_path / "none.safetensors")


def test_a_looks_file_says_whose_it_is(small: Small) -> None:
    with safe_open(small.look, framework="pt") as file:
        about = json.loads(file.metadata()[LOOK])
    base = load(small.base)
    assert base.model.config is not None
    assert about["model"] == base.fingerprint().hex()
    assert about["synthesis"] == base.model.config["transform"]
    assert about["noise"]["channels"] == CHANNELS
    tensors = load_file(small.look)
    names = {f"synthesis.{name}" for name in base.model.transform.synthesis.state_dict()}
    assert tensors.keys() == names | {"noise.projection.weight"}
    assert all(t.dtype == torch.float16 for t in tensors.values())


def test_a_look_for_a_shipped_codec_is_small(tmp_path: Path) -> None:
    """A synthesis of the flagship's size; the target is 6 MB."""
    base = load("tng-mixed")
    trained = tmp_path / "run.safetensors"
    tngexp.io.save(base, trained)
    saved = save_look(trained, tmp_path / "a.safetensors", of="tng-mixed")
    assert saved.model == zoo.MODELS["tng-mixed"].fingerprint
    assert saved.bytes == saved.path.stat().st_size
    assert saved.bytes < 4_000_000


def test_a_look_belongs_to_one_generation(tmp_path: Path) -> None:
    """The message names both, since the numbers alone tell nobody which codec to take."""
    (old,) = zoo.generations("tng-objective")[1:]
    trained = tmp_path / "run.safetensors"
    tngexp.io.save(load(old), trained)
    look = save_look(trained, tmp_path / "a.safetensors", of=old).path
    with pytest.raises(CheckpointError, match=rf"no look for tng-objective, .*: --of {old}$"):
        save_look(trained, tmp_path / "b.safetensors", of="tng-objective")
    assert load(old, look=look).look() is not None
    ids = {name: zoo.codec(name).fingerprint for name in (old, "tng-objective")}
    expected = f"a look for model {ids[old]} ({old}), and this is model {ids['tng-objective']} "
    with pytest.raises(CheckpointError, match=re.escape(f"{expected}(tng-objective): take the")):
        load("tng-objective", look=look)


def test_a_training_that_changed_more_makes_no_look(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    content = read_checkpoint(small.trained)
    for name, part in (
        ("codec.rate.log_gain_decoder", "rate"),
        ("codec.transform.analysis.0.conv.weight", "transform.analysis"),
    ):
        weights = content["state_dict"]
        other = {**content, "state_dict": {**weights, name: weights[name] + 1e-3}}
        torch.save(other, tmp_path / "run.ckpt")
        with pytest.raises(CheckpointError, match=rf"since the two differ in {part}\. Train with"):
            save_look(tmp_path / "run.ckpt", path, of=small.base)
    with pytest.raises(CheckpointError, match=r"no look for tng-mixed, .* differ in prior, rate"):
        save_look(small.trained, path, of="tng-mixed")
    with pytest.raises(ConfigError, match=r"does not tell which codec .* --of CODEC"):
        save_look(small.trained, path)
    with pytest.raises(ConfigError, match=r"a look is a \.safetensors file"):
        save_look(small.trained, tmp_path / "a.ckpt", of=small.base)
    huge = {**content["state_dict"]}
    huge["codec.transform.synthesis.0.bias"] = torch.full((32,), 1e6)
    torch.save({**content, "state_dict": huge}, tmp_path / "run.ckpt")
    with pytest.raises(ConfigError, match="leaves the range of half precision"):
        save_look(tmp_path / "run.ckpt", path, of=small.base)
    config = content["tngexp"]["codec"]
    blocks = {**config["transform"], "blocks_synthesis": 6}
    codec = tngexp.Codec.from_config({**config, "transform": blocks})
    weights = {n.removeprefix("codec."): t for n, t in content["state_dict"].items()}
    kept = {n: t for n, t in weights.items() if not n.startswith("transform.synthesis")}
    codec.load_state_dict(kept, strict=False)
    checkpoint(codec.eval(), tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match="whose synthesis has another form"):
        save_look(tmp_path / "run.ckpt", path, of=small.base)
    assert not path.exists()


def test_a_shipped_look_takes_a_file_and_a_line(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = tmp_path / "small.safetensors", tmp_path / "small.look.safetensors"
    tngexp.io.save(load(small.base), paths[0])
    shutil.copy(small.look, paths[1])
    base, look = (hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    codec = load(small.base, look=small.look)
    data = codec.compress(photo(*SIZE))
    expected = codec.decompress(data, look=1)
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setitem(zoo.MODELS, "small", zoo.Shipped(base, codec.fingerprint().hex()))
    with pytest.raises(ConfigError, match="no look"):
        load("small").decompress(data, look=1)
    monkeypatch.setitem(zoo.LOOKS, "small", look)
    for name in ("small", zoo.path("small")):
        assert np.array_equal(np.asarray(load(name).decompress(data, look=1)), np.asarray(expected))
    paths[1].write_bytes(b"another")
    with pytest.raises(CheckpointError, match="not the file that was shipped"):
        load("small").decompress(data, look=1)
