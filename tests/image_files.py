"""Image files that Pillow does not write, byte by byte."""

from __future__ import annotations

import struct
import zlib

__all__ = ["png", "tiff"]


def png(
    size: tuple[int, int], depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG of colour type ``kind``; ``chunks`` stand before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    width = len(rows) // size[1]
    lines = b"".join(b"\0" + rows[y * width : (y + 1) * width] for y in range(size[1]))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def tiff(
    size: tuple[int, int],
    bits: int,
    pixels: bytes,
    *,
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
) -> bytes:
    """A TIFF of one channel in one strip."""
    offset = 8 + len(pixels) % 2 + len(pixels)
    tags = {
        **{256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1},
        **{278: size[1], 279: len(pixels), 339: sample_format},
    }
    directory = struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack(order + "HHII", tag, 4, 1, value)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)
    return start + pixels + b"\0" * (len(pixels) % 2) + directory + bytes(4)
