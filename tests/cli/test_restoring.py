"""``tng restore`` and ``tng compress --via`` as people type them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_hybrid import small
from support import as_mode, grey_profile, other_profile, photo

from tngexp.cli.main import main
from tngexp.hybrid.model import Hybrid, save_hybrid
from tngexp.hybrid.note import read_note
from tngexp.hybrid.restore import restore


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "models" / "small.safetensors"
    path.parent.mkdir()
    save_hybrid(small("jpeg", "webp", factors=(1, 2), strength=0.01), path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of codecs, a PNG and a file that is none of them."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    photo(40, 30).save(folder / "a.jpg", quality=40)
    photo(30, 40).save(folder / "deep" / "b.webp", quality=40)
    photo(30, 40).save(folder / "c.png")
    (folder / "d.txt").write_text("notes")
    return folder


def picture(path: Path) -> Any:
    return np.asarray(opened(path))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def test_a_file_becomes_a_png_beside_it(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(folder / "a.jpg"), "--model", model]) == 0
    expected = np.asarray(restore(folder / "a.jpg", model))
    assert np.array_equal(picture(folder / "a-restored.png"), expected)
    assert "a-restored.png: restored from jpeg, step " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-o", "out.tif"], ["out.tif"]])
def test_the_output_can_be_named(
    words: list[str], folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["restore", "a.jpg", *words, "--model", model]) == 0
    assert opened(Path("out.tif")).format == "TIFF"


def storage_exif(changes: dict[int, Any], directories: bool = False) -> Image.Exif:
    """EXIF as of a photo, and with tags that tell how other pixels lie in another file."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x9C9B] = "maker", 6, b"t\0"
    if directories:
        exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
        exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
        exif.get_ifd(0x8825)[1] = "N"
    for tag, value in changes.items():
        exif[tag] = value
    return exif


@pytest.mark.parametrize(
    "changes",
    [
        {256: 20, 257: 12},
        {256: 4000, 257: 3000},
        {262: 6, 530: (2, 2)},
        {284: 2},
        {277: 1, 258: 16},
        {317: 2, 266: 2, 338: 1},
        {320: (1, 2, 3), 301: (1, 2)},
        {296: 0, 50706: (1, 4, 0, 0)},
    ],
    ids=str,
)
@pytest.mark.parametrize("directories", [False, True])
def test_exif_does_not_say_how_a_tiff_is_stored(
    changes: dict[int, Any], directories: bool, folder: Path, model: str
) -> None:
    photo(40, 30).save(folder / "a.jpg", exif=storage_exif(changes, directories))
    assert main(["restore", str(folder / "a.jpg"), str(folder / "a.tif"), "--model", model]) == 0
    with Image.open(folder / "a.tif") as image:
        exif = image.getexif()
        assert (exif[0x010F], exif[0x0112], exif[0x9C9B]) == ("maker", 6, b"t\0")
        if directories:
            assert exif.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"
            assert (exif.get_ifd(0xA005)[1], exif.get_ifd(0x8825)[1]) == ("R03", "N")
        found = np.asarray(image.convert("RGB"))  # upright, as Pillow reads a TIFF
    expected = np.asarray(restore(folder / "a.jpg", model))
    assert np.array_equal(found, np.rot90(expected, -1))


def test_an_orientation_that_does_not_exist_is_left_out_of_a_tiff(folder: Path, model: str) -> None:
    photo(40, 30).save(folder / "a.jpg", exif=storage_exif({0x0112: 0}))
    assert main(["restore", str(folder / "a.jpg"), str(folder / "a.tif"), "--model", model]) == 0
    expected = np.asarray(restore(folder / "a.jpg", model))
    assert np.array_equal(picture(folder / "a.tif"), expected)


def test_tiff_has_no_place_for_a_wide_gamut_mark(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def marked(picture: Any, rgb: Any, exif: Any) -> Image.Image:
        image = Image.fromarray(rgb)
        image.info["cicp"] = bytes([9, 16, 0, 1])
        return image

    monkeypatch.setattr("tngexp.hybrid.restore._image", marked)
    assert main(["restore", str(folder / "a.jpg"), str(folder / "a.png"), "--model", model]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["restore", str(folder / "a.jpg"), str(folder / "a.tif"), "--model", model]) == 0
    said = capsys.readouterr().err
    assert f"warning: {folder / 'a.jpg'}: TIFF has no place for its colours' mark (CICP 9/" in said


def test_standard_streams(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    data = (folder / "a.jpg").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["restore", "-", "--model", model]) == 0
    assert Image.open(io.BytesIO(capsysbinary.readouterr().out)).size == (40, 30)


def test_a_folder_s_files_of_codecs_are_restored_once(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(folder), "--model", model]) == 0
    made = {str(p.relative_to(folder)) for p in folder.rglob("*-restored*")}
    assert made == {"a-restored.png", "deep/b-restored.png"}
    assert "2 files restored" in capsys.readouterr().err
    assert main(["restore", str(folder), "--model", model]) == 0
    assert "0 files restored, 2 skipped" in capsys.readouterr().err
    assert {str(p.relative_to(folder)) for p in folder.rglob("*-restored*")} == made


def test_one_bad_file_stops_no_other(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "a.jpg").read_bytes()
    (folder / "0cut.jpg").write_bytes(whole[: len(whole) // 2])
    photo(20, 20).save(folder / "e.avif")
    assert main(["restore", str(folder), "--model", model]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 2
    assert "0cut.jpg" in errors[0]
    assert "damaged" in errors[0]
    assert "e.avif: coded as AVIF, while this network was trained for jpeg, webp" in errors[1]
    made = {p.name for p in folder.rglob("*-restored*")}
    assert made == {"a-restored.png", "b-restored.png"}  # and nothing half-written
    assert not list(folder.rglob(".*"))


def test_the_variable_names_a_model(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TNGEXP_RESTORER", model)
    assert main(["restore", str(folder / "a.jpg")]) == 0


def test_a_codec_is_no_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", str(folder / "a.jpg"), "--model", "tng-objective"]) == 2
    assert "a codec of its own" in capsys.readouterr().err
    assert not list(folder.rglob("*-restored*"))


def test_via_writes_the_best_standard_file_of_a_size(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(96, 64).save(folder / "big.png")
    words = ["compress", str(folder / "big.png"), "--via", "jpeg", "--target-bpp", "2.0"]
    assert main([*words, "--model", model]) == 0
    data = (folder / "big.jpg").read_bytes()
    assert 1.6 < 8 * len(data) / (96 * 64) <= 2.0
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    said = capsys.readouterr().err
    assert "big.jpg: " in said
    assert "bpp, quality " in said
    assert main(["restore", str(folder / "big.jpg"), "--model", model]) == 0
    assert opened(folder / "big-restored.png").size == (96, 64)


def test_via_makes_a_picture_smaller_where_that_is_better(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smooth = Image.fromarray(np.asarray(photo(96, 64)).clip(80, 170)).resize((384, 256))
    smooth.save(tmp_path / "smooth.png")
    words = ["compress", str(tmp_path / "smooth.png"), "--via", "jpeg", "--target-bpp", "0.12"]
    assert main([*words, "--model", model]) == 0
    note = read_note((tmp_path / "smooth.jpg").read_bytes())
    assert note is not None
    assert (note.width, note.height) == (384, 256)


def test_via_reaches_a_quality_with_the_smallest_file(folder: Path, model: str) -> None:
    photo(96, 64).save(folder / "big.png")
    sizes = []
    for db in ("24", "30"):
        words = ["compress", str(folder / "big.png"), "--via", "webp", "--target-psnr", db]
        assert main([*words, "--model", model, "--force"]) == 0
        restored = np.asarray(restore(folder / "big.webp", model)).astype(float)
        mse = ((restored - np.asarray(photo(96, 64))) ** 2).mean()
        assert 10 * np.log10(255**2 / mse) >= float(db) - 0.01
        sizes.append((folder / "big.webp").stat().st_size)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--via", "jpeg"], "needs a target"),
        (["--via", "jpg", "--target-bpp", "1"], "Did you mean 'jpeg'"),
        (["--via", "avif", "--target-bpp", "1"], "trained for jpeg, webp"),
        (["--via", "jpeg", "--target-bpp", "1", "--effort", "3"], "are for learned codecs"),
        (["--via", "jpeg", "--target-bpp", "0.001"], "does not reach --target-bpp 0.001"),
        (["--via", "jpeg", "--target-psnr", "90"], "does not reach --target-psnr 90"),
        (["--via", "jpeg", "--target-msssim", "0.9"], "shorter side below 176 pixels; this image"),
    ],
)
def test_via_refuses_what_it_cannot_do(
    words: list[str],
    said: str,
    folder: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compress", str(folder / "c.png"), *words, "--model", model]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "c.jpg").exists()


def test_via_finds_a_setting_where_the_finest_is_lossless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "small.safetensors"
    save_hybrid(small("avif", strength=0.01), model)
    graphic = Image.new("RGB", (40, 30), "white")
    graphic.paste((20, 60, 120), (5, 5, 30, 9))
    graphic.save(tmp_path / "shot.png")
    words = ["compress", str(tmp_path / "shot.png"), "--via", "avif", "--model", str(model)]
    assert main([*words, "--target-bpp", "20"]) == 0
    assert "bpp, quality " in capsys.readouterr().err
    photo(40, 30).save(tmp_path / "shot.png")
    assert main([*words, "--target-psnr", "120", "--force"]) == 2
    assert "does not reach --target-psnr 120" in capsys.readouterr().err


def test_via_has_no_place_for_transparency(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    as_mode("RGBA").save(folder / "clear.png")
    words = ["compress", str(folder / "clear.png"), "--via", "jpeg", "--target-bpp", "2"]
    assert main([*words, "--model", model]) == 2
    assert "transparency" in capsys.readouterr().err


def test_an_interrupted_network_leaves_nothing(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Hybrid, "restore", interrupted)
    assert main(["restore", str(folder / "a.jpg"), "--model", model]) == 130
    assert not list(folder.rglob("*restored*"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pictures of one name, of which the JPEG is nobody's result, and a third."""
    site = tmp_path / "site"
    site.mkdir()
    for number, name in enumerate(("hero.png", "hero.jpg", "logo.png")):
        photo(48, 32).rotate(90 * number).save(site / name)
    return site


def in_place(site: Path, model: str, bpp: int, *words: str) -> list[str]:
    target = ["--via", "jpeg", "--target-bpp", str(bpp)]
    return ["compress", str(site), *target, "--model", model, *words]


def test_via_replaces_no_photo_and_goes_on(
    site: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hero = (site / "hero.jpg").read_bytes()

    def run(bpp: int, *words: str) -> str:
        assert main(in_place(site, model, bpp, *words)) == 2
        assert (site / "hero.jpg").read_bytes() == hero
        said = capsys.readouterr().err
        assert f"hero.png: {site / 'hero.jpg'} is an input, which is never replaced" in said
        assert f"{site / 'hero.jpg'}: the output would replace the input itself" in said
        assert said.count("error:") == 2 + ("another result" in said)
        return said

    assert "1 file compressed, 2 failed" in run(6)
    logo = (site / "logo.jpg").read_bytes()
    for _ in range(2):
        said = run(6)
        assert "0 files compressed, 1 skipped" in said
        assert "1 left out as earlier results" in said
    assert (site / "logo.jpg").read_bytes() == logo
    # With another setting, what is there is still a result.
    assert f"logo.png: {site / 'logo.jpg'} exists and is another result" in run(3)
    assert "1 file compressed" in run(3, "--force")
    assert (site / "logo.jpg").read_bytes() != logo
    # Changed since, it is a picture of its own.
    photo(48, 32).save(site / "logo.jpg")
    assert main(in_place(site, model, 3, "--force")) == 2
    assert f"{site / 'logo.jpg'} is an input" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["web", "."])
def test_via_does_not_take_its_results_in(
    site: Path, model: str, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    (site / "hero.jpg").unlink()
    words = in_place(site, model, 6, "-o", str(site / output))
    assert main(words) == 0
    made = sorted(p.relative_to(site).as_posix() for p in site.rglob("*.jpg"))
    assert [Path(name).name for name in made] == ["hero.jpg", "logo.jpg"]
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "0 files compressed, 2 skipped" in said
    assert "2 left out as earlier results" in said
    assert sorted(p.relative_to(site).as_posix() for p in site.rglob("*.jpg")) == made


def test_a_folder_inside_of_the_results_is_searched(site: Path, model: str) -> None:
    words = in_place(site, model, 6, "-o", str(site.parent))
    assert main(words) == 2  # of two inputs with one output the second
    assert (site.parent / "hero.jpg").is_file()
    assert (site.parent / "logo.jpg").is_file()


@pytest.mark.parametrize("name", ["out.jpg", "out.JPEG"])
def test_the_output_of_via_may_come_last(
    site: Path, model: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(site)
    words = ["--via", "jpeg", "--target-bpp", "6", "--model", model]
    assert main(["compress", "logo.png", name, *words]) == 0
    assert opened(site / name).format == "JPEG"
    assert not (site / "logo.jpg").exists()


def test_several_files_into_a_new_jpeg_are_refused_with_the_fix(
    site: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(site)
    words = ["--via", "jpeg", "--target-bpp", "6", "--model", model]
    assert main(["compress", "logo.png", "hero.png", "all.jpg", *words]) == 2
    assert "tng compress logo.png hero.png -o all" in capsys.readouterr().err
    assert sorted(p.name for p in site.iterdir()) == ["hero.jpg", "hero.png", "logo.png"]


def test_restoring_replaces_no_input(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(40, 30).save(folder / "a-restored.png")
    before = (folder / "a-restored.png").read_bytes()
    names = [str(folder / name) for name in ("a.jpg", "a-restored.png", "c.png")]
    assert main(["restore", *names, "--model", model, "--force"]) == 2
    assert f"a.jpg: {folder / 'a-restored.png'} is an input" in capsys.readouterr().err
    assert (folder / "a-restored.png").read_bytes() == before


def via(path: Path, model: str) -> Any:
    """The mean colour of what ``--via`` makes of a file."""
    command = ["compress", str(path), "--via", "jpeg", "--target-psnr", "44", "--model", model]
    assert main([*command, "--force"]) == 0
    return picture(path.with_suffix(".jpg")).reshape(-1, 3).mean(0)


def test_via_shows_the_colours_that_a_file_means(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flat.png"
    mark = PngInfo()
    mark.add(b"cICP", bytes([12, 13, 0, 1]))
    Image.new("RGB", (32, 32), (200, 90, 80)).save(path, pnginfo=mark)
    assert np.abs(via(path, model) - (216, 81, 74)).max() < 4  # of Display P3
    Image.new("L", (32, 32), 64).save(path, icc_profile=grey_profile(1.0))
    assert np.abs(via(path, model) - 137).max() < 4  # a quarter of the light
    assert "warning" not in capsys.readouterr().err


def test_via_says_which_colours_it_cannot_keep(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flat.png"
    mark = PngInfo()
    mark.add(b"cICP", bytes([9, 16, 0, 1]))
    Image.new("RGB", (32, 32), (200, 90, 80)).save(path, pnginfo=mark)
    assert np.abs(via(path, model) - (200, 90, 80)).max() < 4
    said = capsys.readouterr().err
    assert f"warning: {path}: the colours' mark (CICP 9/16/0/1) cannot be applied" in said
    assert "Fix: convert it to sRGB" in said
    unusable = other_profile().replace(b"rTRC", b"?TRC")
    Image.new("RGB", (32, 32), (200, 90, 80)).save(path, icc_profile=unusable)
    via(path, model)
    assert f"warning: {path}: the colour profile cannot be applied" in capsys.readouterr().err
