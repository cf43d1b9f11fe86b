"""What happens around the programs that some codecs are: absent, too old, failing, too slow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from support import photo

from tngexp.anchors import AnchorError, anchor, ffmpeg
from tngexp.anchors.bpg import BpgAnchor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")

X = np.asarray(photo(40, 24))


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def install(text: str) -> Path:
        path = script(tmp_path, "ffmpeg", text)
        monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: str(path))
        return path

    return install


@pytest.mark.parametrize("name", ["hevc", "vvc"])
def test_without_ffmpeg_the_line_says_how_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: None)
    codec = anchor(name)
    line = codec.missing()
    assert line == f"{codec.label} is missing: no ffmpeg found: pip install imageio-ffmpeg"
    with pytest.raises(AnchorError, match="pip install imageio-ffmpeg"):
        codec.encode(X, 30)


def test_ffmpeg_on_path_serves_where_the_package_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path, "ffmpeg", "exit 0")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.ffmpeg_path() == str(path)
    path.unlink()
    assert ffmpeg.ffmpeg_path() is None


def test_an_ffmpeg_without_the_encoder_is_named(fake_ffmpeg) -> None:
    path = fake_ffmpeg("echo ' V....D libx265   libx265 H.265 / HEVC (codec hevc)'")
    assert anchor("hevc").missing() is None
    line = anchor("vvc").missing()
    assert line is not None
    assert line.endswith(
        f"is missing: {path} has no libvvenc: pip install --upgrade imageio-ffmpeg"
    )
    with pytest.raises(AnchorError, match="has no libvvenc"):
        anchor("vvc").version()


def test_an_ffmpeg_that_cannot_be_run_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "gone"))
    line = anchor("hevc").missing()
    assert line is not None
    assert line.endswith(f"cannot run {tmp_path / 'gone'}: No such file or directory")


def test_ffmpegs_own_words_explain_a_failure(fake_ffmpeg) -> None:
    fake_ffmpeg(
        "cat > /dev/null\n"
        "echo '[libx265 @ 0x5585] [enc:libx265 @ 0x55] Image size is wrong.' >&2\n"
        "echo 'Error opening output files' >&2\nexit 3"
    )
    with pytest.raises(AnchorError) as caught:
        anchor("hevc").encode(X, 30)
    expected = "ffmpeg cannot encode with libx265: Image size is wrong. (exit status 3)"
    assert str(caught.value) == expected


def test_output_of_another_kind_is_refused(fake_ffmpeg) -> None:
    fake_ffmpeg("cat > /dev/null\nprintf 'YUV4MPEG2 W4 H4 F25:1 Ip A0:0 C422\\nFRAME\\n'")
    with pytest.raises(AnchorError, match="unexpected kind of video"):
        anchor("hevc").decode(b"stream")


def test_a_frame_that_is_cut_off_is_refused(fake_ffmpeg) -> None:
    fake_ffmpeg("cat > /dev/null\nprintf 'YUV4MPEG2 W4 H4 F25:1 Ip A0:0 C420p10\\nFRAME\\nxx'")
    with pytest.raises(AnchorError, match="cut off"):
        anchor("hevc").decode(b"stream")


def test_a_program_that_hangs_is_stopped(fake_ffmpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg("exec sleep 30")
    monkeypatch.setattr(ffmpeg, "_TIMEOUT_S", 0.2)
    with pytest.raises(AnchorError, match=r"ran longer than 0\.2 s"):
        anchor("hevc").encode(X, 30)


@pytest.fixture
def fake_bpg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that take BPG's options and copy the picture."""
    help_text = 'echo "BPG Image Encoder version 0.9.8"; exit 1'
    script(
        tmp_path,
        "bpgenc",
        f'[ "$1" = -h ] && {{ {help_text}; }}\necho "$1 $2 $3 $4 $5 $6" > "$0.log"\ncp "$9" "$8"',
    )
    script(tmp_path, "bpgdec", 'cp "$3" "$2"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_bpgs_own_programs_are_preferred(fake_bpg: Path) -> None:
    codec = anchor("bpg")
    assert (codec.label, codec.extension) == ("BPG 4:4:4", ".bpg")
    assert codec.version() == "libbpg 0.9.8"
    assert np.array_equal(codec.decode(codec.encode(X, 37)), X)
    assert (fake_bpg / "bpgenc.log").read_text().strip() == "-f 444 -m 9 -q 37"


def test_without_them_x265_stands_in_and_says_so(
    fake_bpg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_bpg / "bpgdec").unlink()
    monkeypatch.setenv("PATH", str(fake_bpg))
    line = BpgAnchor().missing()
    assert line == (
        "BPG 4:4:4 is missing: bpgdec not on PATH; build libbpg from https://bellard.org/bpg"
    )
    assert anchor("bpg").label == "BPG (x265 stand-in)"
    with pytest.raises(AnchorError, match="bpgdec not on PATH"):
        BpgAnchor().encode(X, 30)


def test_what_bpgenc_complains_about_is_passed_on(fake_bpg: Path) -> None:
    script(fake_bpg, "bpgenc", "echo 'Unsupported picture' >&2\nexit 1")
    with pytest.raises(AnchorError, match="bpgenc failed: Unsupported picture"):
        BpgAnchor().encode(X, 30)
