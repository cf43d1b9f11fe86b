"""Evaluation reports what files on disk say, once per image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from support import checkpoint, photo

import tngexp
from tngexp import evaluate as entry
from tngexp.bitstream import ImageCodec
from tngexp.codec import Codec
from tngexp.evaluation import measure


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, size in enumerate([(200, 180), (90, 70)]):
        photo(*size).save(folder / f"photo{index}.png")
    return folder


def arguments(folder: Path, out: Path, *checkpoints: Path) -> list[str]:
    return [
        f"checkpoint=[{','.join(map(str, checkpoints))}]",
        "data=folder",
        f"data.root={folder}",
        f"out={out}",
        "logger=none",
    ]


def lines(out: Path) -> list[dict[str, Any]]:
    text = (out / "records.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_reported_figures_are_those_of_the_file(make_codec: Callable[..., Codec]) -> None:
    codec = ImageCodec(make_codec(prior="gmm")).eval()
    rgb = np.array(photo(200, 180))
    measurement, data = measure(codec, rgb, None)
    decoded = np.array(codec.decompress(data))
    assert measurement.bytes == len(data)
    assert measurement.bpp == pytest.approx(8 * len(data) / (200 * 180))
    assert measurement.psnr_db == pytest.approx(
        peak_signal_noise_ratio(rgb, decoded, data_range=255), abs=1e-4
    )
    assert measurement.ms_ssim is not None
    assert measure(codec, rgb[:100], None)[0].ms_ssim is None


def test_files_on_disk_agree_with_the_records(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec], capsys: Any
) -> None:
    path = checkpoint(make_codec(rate="variable").eval(), tmp_path / "a.ckpt")
    out = tmp_path / "out"
    words = [*arguments(photos, out, path), "qualities=[0,1]", "save_files=true"]
    assert entry.main(words) == 0
    records = lines(out)
    assert len(records) == 4
    codec = tngexp.load(path)
    import hashlib

    for record in records:
        name = Path(record["image"]).with_suffix(".tng")
        file = out / "files" / f"{record['model']}_{record['quality']:g}" / name
        assert file.stat().st_size == record["bytes"]
        pixels = np.asarray(codec.decompress(file.read_bytes()))
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == record["reconstruction_sha256"]
    shown = capsys.readouterr().out
    assert "records in" in shown
    # The layout that CompressAI's plotting reads.
    results = json.loads((out / "a.json").read_text())["results"]
    assert results["bpp"] == pytest.approx(
        [np.mean([r["bpp"] for r in records if r["quality"] == q]) for q in (0, 1)]
    )


def test_a_second_run_measures_nothing_again(
    photos: Path,
    tmp_path: Path,
    make_codec: Callable[..., Codec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    out = tmp_path / "out"
    assert entry.main(arguments(photos, out, path)) == 0
    first = (out / "records.jsonl").read_text()
    # An interrupted run leaves a line without its end.
    (out / "records.jsonl").write_text(first + '{"version": 1, "mod')

    def refuse(*_: Any) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr("tngexp.evaluation.codecs.measure", refuse)
    assert entry.main(arguments(photos, out, path)) == 0
    assert (out / "records.jsonl").read_text() == first


def test_a_metric_that_records_lack_is_measured(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec]
) -> None:
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    out = tmp_path / "out"
    assert entry.main([*arguments(photos, out, path), "metrics=[]"]) == 0
    assert entry.main([*arguments(photos, out, path), "metrics=[gmsd,dss]"]) == 0
    before, after = lines(out)[:2], lines(out)[2:]
    assert [r["metrics"] for r in before] == [{}, {}]
    assert len(after) == 2
    assert all(0 < r["metrics"]["gmsd"] < 1 for r in after)
    assert [r["bytes"] for r in before] == [r["bytes"] for r in after]
    assert all(r["peak_memory_mib"] > 50 for r in after)  # a Python with torch
    assert len(after[0]["weights_sha256"]) == len(after[0]["config_sha256"]) == 64


def test_several_checkpoints_go_into_one_table(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec], capsys: Any
) -> None:
    paths = []
    for name in ("a", "b"):
        with torch.random.fork_rng():
            torch.manual_seed(ord(name))
            paths.append(checkpoint(make_codec().eval(), tmp_path / f"{name}.ckpt"))
    assert entry.main(arguments(photos, tmp_path / "out", *paths)) == 0
    models = {record["model"] for record in lines(tmp_path / "out")}
    assert len(models) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=nope.ckpt"], "no such checkpoint"),
        (["checkpoint={foreign}"], "not a tngexp checkpoint"),
        (["checkpoint={ours}", "data=kodak", "data.root={folder}"], "not the Kodak set"),
        (["checkpoint={folder}"], "no run in this folder"),
        (["checkpoint={ours}", "metrics=[lpips]"], "no metric called 'lpips'"),
        (["checkpoint={variable}", "qualities=[2]"], "qualities"),
        ([], "give it as checkpoint="),
    ],
)
def test_bad_input_is_one_message(
    words: list[str],
    message: str,
    photos: Path,
    tmp_path: Path,
    make_codec: Callable[..., Codec],
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {
        "ours": checkpoint(make_codec().eval(), tmp_path / "ours.ckpt"),
        "variable": checkpoint(make_codec(rate="variable").eval(), tmp_path / "variable.ckpt"),
        "foreign": tmp_path / "foreign.ckpt",
        "folder": photos,
    }
    torch.save({"weights": torch.zeros(3)}, names["foreign"])
    assert entry.main([word.format(**names) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_identical_images_have_no_psnr() -> None:
    image = Image.new("RGB", (8, 8))
    from tngexp.metrics import psnr

    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    assert torch.isinf(psnr(x, x)).all()
