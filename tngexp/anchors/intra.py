"""Video codecs on a single frame: HEVC and VVC intra, and x265 in BPG's place.

Colours are converted here, not by ffmpeg (see :mod:`tngexp.anchors.colour`), and the streams do not
state them: what reads a file back is this module. A stream holds a sequence of NAL units and
nothing else: no container, and no message with the encoder's name and options.

Encoders get sides of at least 32 and, with 4:2:0, even ones. Other images have their last row and
column repeated, and how often is written behind the stream in a NAL unit of a type that the
standards leave to applications and decoders skip. Its 8 bytes count, like all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

import numpy as np

from tngexp.anchors.base import Anchor, AnchorError, Pixels, QualityParameter
from tngexp.anchors.colour import Planes, from_planes, pad_to, to_planes
from tngexp.anchors.ffmpeg import ffmpeg_path, ffmpeg_version, missing_encoder, run_ffmpeg

__all__ = ["BPG_QP", "IntraAnchor", "hevc", "vvc", "x265_for_bpg"]

BPG_QP = QualityParameter("QP", 0, 51, (51, 49, 46, 43, 40, 37, 34, 31, 28, 25))
"""Of BPG and its stand-in, which codes a little finer at the same QP (6 to 14 % more bits)."""

_MIN_SIDE = 32  # x265 needs 16; what vvenc writes must fit into a byte per pixel, see vvc()
_STOP = b"\x80"  # a NAL unit must not end in a zero byte


@final
@dataclass(frozen=True)
class IntraAnchor(Anchor):
    """ffmpeg with one encoder, reading and writing pipes."""

    name: str
    label: str
    extension: str
    parameter: QualityParameter
    encoder: str  # ffmpeg's name of it
    format: str  # ffmpeg's name of the raw stream: "hevc", "vvc"
    options: tuple[str, ...]  # of the encoder, with {Q} for the setting
    bits: int
    halve_chroma: bool
    application_nal: bytes  # start code and header of a NAL unit decoders skip

    @property
    def how(self) -> str:
        options = " ".join(self.options).replace("{Q}", "Q")
        return (
            f"ffmpeg, {self.encoder} {options}, {self._pixel_format}, BT.601 full range, "
            "bytes of the raw stream"
        )

    def missing(self) -> str | None:
        line = missing_encoder(self.encoder)
        return None if line is None else f"{self.label} is missing: {line}"

    def version(self) -> str:
        if line := self.missing():
            raise AnchorError(line)
        return ffmpeg_version(ffmpeg_path() or "", self.encoder)

    def decode(self, data: bytes) -> Pixels:
        stream, rows, columns = self._split(data)
        # Of the formats that ffmpeg writes to a pipe, YUV4MPEG is the one that states the size.
        arguments = ["-threads", "1", "-f", self.format, "-i", "pipe:0"]
        arguments += ["-frames:v", "1", "-strict", "-1", "-f", "yuv4mpegpipe", "pipe:1"]
        video = run_ffmpeg(arguments, stream, f"decode {self.format}")
        rgb = from_planes(self._planes(video), self.bits)
        height, width = rgb.shape[0] - rows, rgb.shape[1] - columns
        if height < 1 or width < 1:
            raise AnchorError(f"{self.label}: the file is damaged (more padding than pixels)")
        return rgb[:height, :width]

    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        height, width, _ = rgb.shape
        padded = pad_to(rgb, self._side(height), self._side(width))
        planes = to_planes(padded, self.bits, self.halve_chroma)
        video = b"".join(plane.astype(self._dtype).tobytes() for plane in planes)
        size = f"{padded.shape[1]}x{padded.shape[0]}"
        arguments = ["-f", "rawvideo", "-pix_fmt", self._pixel_format, "-s", size, "-i", "pipe:0"]
        arguments += ["-frames:v", "1", "-c:v", self.encoder]
        arguments += [option.replace("{Q}", f"{setting:g}") for option in self.options]
        arguments += ["-f", self.format, "pipe:1"]
        stream = run_ffmpeg(arguments, video, f"encode with {self.encoder}")
        rows, columns = padded.shape[0] - height, padded.shape[1] - width
        if rows or columns:
            stream += self.application_nal + bytes([rows, columns]) + _STOP
        return stream

    def _split(self, data: bytes) -> tuple[bytes, int, int]:
        """Stream, rows and columns of padding of a file."""
        length = len(self.application_nal) + 3
        if data[-length:].startswith(self.application_nal) and data.endswith(_STOP):
            return data[:-length], data[-3], data[-2]
        return data, 0, 0

    def _planes(self, video: bytes) -> Planes:
        """Planes of the first frame of a YUV4MPEG video."""
        header, _, frame = video.partition(b"\n")
        chroma = ("420p" if self.halve_chroma else "444p") + str(self.bits)
        chroma = chroma.removesuffix("p8")
        found = re.match(rb"YUV4MPEG2 W(\d+) H(\d+) .*\bC" + chroma.encode() + rb"\b", header)
        if not found:
            raise AnchorError(f"{self.label}: unexpected kind of video: {header[:80]!r}")
        width, height = int(found[1]), int(found[2])
        _, _, samples = frame.partition(b"\n")
        small = (height // 2, width // 2) if self.halve_chroma else (height, width)
        shapes = [(height, width), small, small]
        lengths = [rows * columns for rows, columns in shapes]
        values = np.frombuffer(samples, self._dtype)
        if len(values) < sum(lengths):
            raise AnchorError(f"{self.label}: the file is cut off")
        parts = np.split(values, np.cumsum(lengths))
        return [
            part.astype(np.uint16).reshape(shape)
            for part, shape in zip(parts, shapes, strict=False)
        ]

    def _side(self, side: int) -> int:
        step = 2 if self.halve_chroma else 1
        return max(_MIN_SIDE, -(-side // step) * step)

    @property
    def _dtype(self) -> str:
        return "u1" if self.bits == 8 else "<u2"

    @property
    def _pixel_format(self) -> str:
        return f"yuv{'420' if self.halve_chroma else '444'}p" + ("" if self.bits == 8 else "10le")


# Type 62 of HEVC and type 31 of VVC are "unspecified": for applications.
_HEVC_NAL = b"\x00\x00\x01\x7c\x01"
_VVC_NAL = b"\x00\x00\x01\x00\xf9"

# Tuned for PSNR: without psychovisual terms and adaptive quantization. With `info`, x265 would
# write its options into the stream. The last three keep it to one thread.
_X265 = (
    "-preset",
    "veryslow",
    "-x265-params",
    "qp={Q}:psy-rd=0:psy-rdoq=0:aq-mode=0:keyint=1:info=0:log-level=error"
    ":wpp=0:pools=none:frame-threads=1",
)


def x265_for_bpg() -> IntraAnchor:
    """BPG is HEVC intra by an old x265 in a small container; this is a new x265 without container.

    On Kodak, BD-rate against libbpg 0.9.8 (-f 444 -m 9): −0.2 % at equal PSNR, −0.4 % at equal
    MS-SSIM; ``benchmarks/anchors.py`` measures it.
    """
    return IntraAnchor(
        "bpg",
        "BPG (x265 stand-in)",
        ".hevc",
        BPG_QP,
        "libx265",
        "hevc",
        _X265,
        bits=8,
        halve_chroma=False,
        application_nal=_HEVC_NAL,
    )


def hevc() -> IntraAnchor:
    """HEVC as in HEIC photos and as the like of ``vvc``: profile Main 10, 4:2:0."""
    return IntraAnchor(
        "hevc",
        "HEVC intra 4:2:0 (x265)",
        ".hevc",
        QualityParameter("QP", 0, 51, (51, 49, 46, 43, 40, 37, 34, 31, 28, 25)),
        "libx265",
        "hevc",
        _X265,
        bits=10,
        halve_chroma=True,
        application_nal=_HEVC_NAL,
    )


def vvc() -> IntraAnchor:
    """VVC: profile Main 10, 4:2:0, all tools of the preset, no perceptual tuning."""
    return IntraAnchor(
        "vvc",
        "VVC intra 4:2:0 (vvenc)",
        ".vvc",
        # ffmpeg gives vvenc a buffer of a byte per pixel, which finer pictures overflow.
        QualityParameter("QP", 10, 63, (51, 48, 45, 42, 39, 36, 33, 30, 27, 24)),
        "libvvenc",
        "vvc",
        (
            "-preset",
            "medium",
            "-qp",
            "{Q}",
            "-qpa",
            "0",
            "-vvenc-params",
            # One picture per group, or the stream would describe a hierarchy of 32; no delimiters.
            "gopsize=1:intraperiod=1:accessunitdelimiter=0:hrdparameterspresent=0"
            ":vuiparameterspresent=0:threads=1",
        ),
        bits=10,
        halve_chroma=True,
        application_nal=_VVC_NAL,
    )
