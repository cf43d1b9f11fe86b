"""BPG by its own programs, where they are installed."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from tngexp.anchors.base import Anchor, AnchorError, Pixels, QualityParameter
from tngexp.anchors.intra import BPG_QP, x265_for_bpg

__all__ = ["BpgAnchor", "bpg"]

_TIMEOUT_S = 3600


@final
@dataclass(frozen=True)
class BpgAnchor(Anchor):
    """``bpgenc`` and ``bpgdec`` of libbpg, which read and write files."""

    name: str = "bpg"
    label: str = "BPG 4:4:4"
    extension: str = ".bpg"
    parameter: QualityParameter = BPG_QP

    @property
    def how(self) -> str:
        return "bpgenc -f 444 -m 9 -q Q"

    def missing(self) -> str | None:
        absent = [name for name in ("bpgenc", "bpgdec") if shutil.which(name) is None]
        if not absent:
            return None
        return (
            f"{self.label} is missing: {' and '.join(absent)} not on PATH; "
            "build libbpg from https://bellard.org/bpg"
        )

    def version(self) -> str:
        result = self._run("bpgenc", "-h", check=False)  # help exits with an error
        found = re.search(r"version (\S+)", result.stdout + result.stderr)
        return f"libbpg {found[1] if found else 'unknown'}"

    def decode(self, data: bytes) -> Pixels:
        with tempfile.TemporaryDirectory(prefix="tngexp-bpg-") as folder:
            source, target = Path(folder, "image.bpg"), Path(folder, "image.png")
            source.write_bytes(data)
            self._run("bpgdec", "-o", str(target), str(source))
            with Image.open(io.BytesIO(target.read_bytes()), formats=["PNG"]) as image:
                return np.array(image.convert("RGB"))

    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        with tempfile.TemporaryDirectory(prefix="tngexp-bpg-") as folder:
            source, target = Path(folder, "image.png"), Path(folder, "image.bpg")
            Image.fromarray(rgb).save(source)
            options = ("-f", "444", "-m", "9", "-q", f"{setting:g}")
            self._run("bpgenc", *options, "-o", str(target), str(source))
            return target.read_bytes()

    def _run(
        self, program: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        if line := self.missing():
            raise AnchorError(line)
        try:
            result = subprocess.run(
                [program, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AnchorError(f"{program} ran longer than {_TIMEOUT_S} s; stopped") from error
        if check and result.returncode:
            lines = (result.stderr or result.stdout).strip().splitlines()
            raise AnchorError(f"{program} failed: {lines[0] if lines else result.returncode}")
        return result


def bpg() -> Anchor:
    """BPG's own programs where they are on PATH, else x265 in their place."""
    real = BpgAnchor()
    return real if real.missing() is None else x265_for_bpg()
