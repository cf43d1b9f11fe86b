"""Names of any bytes, on terminals of any encoding."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import photo

from tngexp.cli.main import main

# Not UTF-8; a line separator to Python, though not to anybody else; formatting to rich.
ODD = (b"caf\xe9", "next\x85line".encode(), "lines\u2028and\u2029ends".encode(), b"[red]x[nope]")


@pytest.mark.parametrize("name", ODD)
def test_every_name_is_coded_told_and_decoded(
    model: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], name: bytes
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".png"))
    try:
        photo(9, 9).save(path)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert main(["compress", str(path), "--model", model]) == 0
    assert name + b".tng: " in capfdbinary.readouterr().err
    path.unlink()
    assert main(["decompress", str(tmp_path), "--model", model]) == 0
    assert path.is_file()
    capfdbinary.readouterr()
    assert main(["info", str(tmp_path)]) == 0
    assert capfdbinary.readouterr().out.splitlines()[0].endswith(name + b".tng")
    path.with_suffix(".tng").write_bytes(b"")
    assert main(["info", str(tmp_path)]) == 2
    assert name + b".tng: " in capfdbinary.readouterr().err
