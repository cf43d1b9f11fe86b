"""Evaluation reports what files on disk say, once per image."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console
from skimage.metrics import peak_signal_noise_ratio
from support import checkpoint, image_record, photo

import tngexp
from tngexp import evaluate as entry
from tngexp.bitstream import ImageCodec
from tngexp.common.configuration import CONF_DIR
from tngexp.datasets.images import DataWarning
from tngexp.evaluation import RecordFile, load_models, measure, measure_codecs, photos_to_measure
from tngexp.evaluation.codecs import reconstruction
from tngexp.evaluation.summary import records_table
from tngexp.evaluation.tsv import read_tsv
from tngexp.model.codec import Codec
from tngexp.types import TngexpError


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


def folder_data(folder: Path) -> dict[str, Any]:
    return {
        "_target_": "tngexp.datasets.folder.FolderDataModule",
        "root": str(folder),
        "val_root": None,
    }


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


def test_a_codec_loads_what_it_needs_before_it_is_timed(
    make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def spied(name: str) -> Callable[..., Any]:
        method = getattr(ImageCodec, name)

        def call(*arguments: Any, **options: Any) -> Any:
            happened.append(name)
            return method(*arguments, **options)

        return call

    for name in ("compress", "decompress"):
        monkeypatch.setattr(ImageCodec, name, spied(name))
    clock = SimpleNamespace(perf_counter=lambda: happened.append("clock") or 0.0)
    monkeypatch.setattr(import_module("tngexp.evaluation.measure"), "time", clock)
    codec = ImageCodec(make_codec(prior="gmm")).eval()
    for _ in range(2):
        measure(codec, np.array(photo(40, 30)), None)
    timed = ["clock", "compress", "clock", "decompress", "clock"]
    assert happened == ["compress", "decompress", *timed, *timed]


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
    for record in records:
        file = out / "files" / record["file"]
        assert file.parent.name == f"{record['model']}_{record['quality']:g}"
        assert file.name.startswith(Path(record["image"]).stem)
        assert file.stat().st_size == record["bytes"]
        pixels = np.asarray(codec.decompress(file.read_bytes()))
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == record["reconstruction_sha256"]
    shown = capsys.readouterr().out
    assert "records in" in shown
    (kept,) = read_tsv(out / "images.tsv")
    sizes = sorted(image.bytes for point in kept.points for image in point.images)
    assert sizes == sorted(record["bytes"] for record in records)
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


def test_figures_belong_to_pixels_and_not_to_names(
    tmp_path: Path, make_codec: Callable[..., Codec]
) -> None:
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    out, sizes = tmp_path / "out", {"first": (200, 180), "second": (180, 200)}
    for folder, size in sizes.items():
        (tmp_path / folder / "same").mkdir(parents=True)
        photo(*size).save(tmp_path / folder / "same" / "p.png")
        assert entry.main(arguments(tmp_path / folder / "same", out, path)) == 0
    first, second = lines(out)
    assert [(r["width"], r["height"]) for r in (first, second)] == list(sizes.values())
    assert first["dataset"] == second["dataset"] == "same"

    # Edited in place, to the same size: other pixels again.
    edited = tmp_path / "second" / "same" / "p.png"
    photo(*sizes["second"]).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(edited)
    assert entry.main(arguments(edited.parent, out, path)) == 0
    assert len({record["original"] for record in lines(out)}) == 3


def test_a_renamed_photo_is_known_by_its_pixels(
    photos: Path,
    tmp_path: Path,
    make_codec: Callable[..., Codec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    out = tmp_path / "out"
    assert entry.main([*arguments(photos, out, path), "save_files=true"]) == 0
    (photos / "photo0.png").rename(photos / "z.png")
    with Image.open(photos / "z.png") as image:
        image.save(photos / "z.tiff")  # the same pixels twice
    photos = photos.rename(tmp_path / "moved")
    moved = path.rename(tmp_path / "b.ckpt")
    monkeypatch.setattr("tngexp.evaluation.codecs.measure", None)
    words = [*arguments(photos, out, moved), "save_files=true"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        records, _ = entry.evaluate(compose("evaluate", words))
    assert [r.image for r in records] == ["photo1.png", "z.png", "z.tiff"]
    assert records[1].measured.bytes == records[2].measured.bytes
    assert {r.dataset for r in records} == {"moved"}
    assert {r.checkpoint for r in records} == {str(moved)}
    assert len(lines(out)) == 2


def test_kept_files_of_one_stem_are_two_files(
    tmp_path: Path, make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, files = tmp_path / "photos", tmp_path / "files"
    for name, size in {"x/b.tif": (40, 30), "x/b.webp": (30, 40), "y/b.tif": (20, 20)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo(*size).save(folder / name, lossless=True)
    (model,) = load_models([checkpoint(make_codec().eval(), tmp_path / "a.ckpt")])
    name, photos = photos_to_measure(folder_data(folder))
    found = RecordFile(tmp_path / "records.jsonl")
    records = measure_codecs([model], photos, name, found, qualities=[0], files=files)
    for taken, record in zip(photos, records, strict=True):
        assert reconstruction(model, record.file_in(files)).shape == taken.decode().shape
    assert len({record.file_in(files) for record in records}) == 3

    # One that was changed is coded again; others are not.
    records[1].file_in(files).write_bytes(records[0].file_in(files).read_bytes())
    measured = []

    def measure_again(*arguments: Any, **options: Any) -> Any:
        measured.append(arguments)
        return measure(*arguments, **options)

    monkeypatch.setattr("tngexp.evaluation.codecs.measure", measure_again)
    again = measure_codecs([model], photos, name, found, qualities=[0], files=files)
    assert len(measured) == 1
    assert reconstruction(model, again[1].file_in(files)).shape == photos[1].decode().shape


def test_a_photo_that_changes_meanwhile_stops_the_evaluation(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec]
) -> None:
    (model,) = load_models([checkpoint(make_codec().eval(), tmp_path / "a.ckpt")])
    name, found = photos_to_measure(folder_data(photos))

    def change(done: int, total: int) -> None:
        photo(90, 70).rotate(180).save(photos / "photo1.png")

    records = RecordFile(tmp_path / "records.jsonl")
    with pytest.raises(TngexpError, match=r"photo1\.png was changed while"):
        measure_codecs([model], found, name, records, qualities=[0], progress=change)
    assert len([*records]) == 1


@pytest.mark.filterwarnings("default::tngexp.datasets.images.DataWarning")
def test_damaged_images_are_left_out_by_name(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec], capsys: Any
) -> None:
    whole = (photos / "photo0.png").read_bytes()
    middle = len(whole) // 2  # its header and its end are sound
    (photos / "bad.png").write_bytes(whole[:middle] + bytes(99) + whole[middle + 99 :])
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    assert entry.main(arguments(photos, tmp_path / "out", path)) == 0
    shown = capsys.readouterr()
    assert "skipped 1 of 3 images: 1 unreadable (bad.png: " in shown.err
    assert {r["image"] for r in lines(tmp_path / "out")} == {"photo0.png", "photo1.png"}
    for name in ("photo0.png", "photo1.png"):
        (photos / name).unlink()
    assert entry.main(arguments(photos, tmp_path / "out", path)) == 2
    shown = capsys.readouterr()
    assert "none of its 1 images can be used" in shown.err
    assert "Traceback" not in shown.err


def test_one_photo_is_enough(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec], capsys: Any
) -> None:
    (photos / "photo0.png").unlink()
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    assert entry.main(arguments(photos, tmp_path / "out", path)) == 0
    assert " n/a " in capsys.readouterr().out  # the MS-SSIM of 90×70 pixels
    assert len(lines(tmp_path / "out")) == 1


def test_a_folder_that_trains_too_is_measured_by_what_it_holds_out(tmp_path: Path) -> None:
    for index in range(5):
        photo(30 + index, 20).save(tmp_path / f"{index}.png")
    config = {**folder_data(tmp_path), "val_images": 2, "crop": 8}
    name, photos = photos_to_measure(config)
    assert (name, len(photos)) == (tmp_path.name, 5)
    _, held_out = photos_to_measure(config, held_out=True)
    assert len(held_out) == 2
    (tmp_path / "val").mkdir()
    photo(20, 20).save(tmp_path / "val" / "a.png")
    name, photos = photos_to_measure({**config, "val_root": str(tmp_path / "val")})
    assert (name, [p.name for p in photos]) == ("val", ["a.png"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_left_out_by_name(photos: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    with pytest.warns(
        DataWarning, match=r"2 unreadable \(gone.jpg: a broken link.*pipe.png: a pipe"
    ):
        _, found = photos_to_measure(folder_data(photos))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("option", "expected"),
    [("metrics=dss", {"dss"}), ("metrics=null", set()), ("metrics=[dss,gmsd]", {"dss", "gmsd"})],
)
def test_a_single_metric_is_a_list_of_one(
    photos: Path, tmp_path: Path, make_codec: Callable[..., Codec], option: str, expected: set[str]
) -> None:
    path = checkpoint(make_codec().eval(), tmp_path / "a.ckpt")
    words = [w for w in arguments(photos, tmp_path / "out", path) if "checkpoint" not in w]
    assert entry.main([*words, f"checkpoint={path}", option]) == 0
    assert all(set(r["metrics"]) == expected for r in lines(tmp_path / "out"))


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


def test_a_codec_at_two_efforts_is_two_curves(tmp_path: Path, capsys: Any) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    photo(200, 180).save(folder / "a.png")
    words = ["checkpoint=tng-objective", "data=folder", f"data.root={folder}", f"out={out}"]
    words += ["logger=none", "metrics=[]", "qualities=0.5", "save_files=true"]
    assert entry.main([*words, "efforts=[0,2]", "tune=msssim"]) == 0
    plain, searched = lines(out)
    assert (plain["effort"], plain["tune"], plain["codec"]) == (0, None, "tng-objective")
    assert (searched["effort"], searched["tune"]) == (2, "msssim")
    assert searched["codec"] == "tng-objective, effort 2 for msssim"
    assert searched["bytes"] != plain["bytes"]
    assert (out / "tng-objective-effort-2-for-msssim.json").is_file()
    for record in (plain, searched):
        (model,) = load_models(["tng-objective"])
        pixels = reconstruction(model, out / "files" / record["file"])
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == record["reconstruction_sha256"]
    assert "effort 2 for msssim" in capsys.readouterr().out
    assert entry.main([*words, "efforts=[2,0]", "tune=mse"]) == 0
    assert [record["tune"] for record in lines(out)] == [None, "msssim", "mse"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=nope.ckpt"], "no such checkpoint"),
        (["checkpoint={foreign}"], "not a tngexp checkpoint"),
        (["checkpoint={ours}", "data=kodak", "data.root={folder}"], "not the Kodak set"),
        (["checkpoint={folder}"], "no run in this folder"),
        (["checkpoint={ours}", "metrics=[vmaf]"], "no metric called 'vmaf'"),
        (["checkpoint={variable}", "qualities=[2]"], "qualities"),
        (["checkpoint={variable}", "qualities=true"], "qualities"),
        (["checkpoint={variable}", "qualities=high"], "qualities"),
        (["checkpoint={variable}", "metrics={{ssim:1}}"], "metrics"),
        (["checkpoint=tng-objective", "efforts=[0,10]"], "effort must be a whole number from 0"),
        (["checkpoint=tng-objective", "efforts=most"], "effort must be a whole number from 0"),
        (["checkpoint=tng-objective", "efforts=[]"], "efforts=[] measures nothing"),
        (["checkpoint=tng-objective", "efforts=1", "tune=psnr"], "tune must be one of mse, msssim"),
        (["checkpoint={ours}", "efforts=1"], "does not tell for which λ"),
        (["checkpoint=[]"], "checkpoint"),
        (["checkpoint=true"], "checkpoint"),
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


def test_means_of_some_of_the_images_are_marked() -> None:
    def shown(*figures: float | None) -> str:
        one = image_record()
        records = [replace(one, measured=replace(one.measured, psnr_db=f)) for f in figures]
        file = io.StringIO()
        Console(file=file, width=80, color_system=None).print(records_table(records))
        return file.getvalue()

    assert "32.00* " in shown(31.0, None, 33.0)
    assert "*: of fewer images" in shown(31.0, None, 33.0)
    assert "*" not in shown(31.0, 32.0, 33.0)


def test_identical_images_have_no_psnr() -> None:
    image = Image.new("RGB", (8, 8))
    from tngexp.metrics import psnr

    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    assert torch.isinf(psnr(x, x)).all()
