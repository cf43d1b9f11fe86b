"""Files that appear whole or not at all, whoever stops the program and whoever else writes."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """A path in the folder of ``path`` to write to; it replaces ``path`` when the block ends.

    An exception of any kind leaves ``path`` as it was and removes what was written. Of several
    writers the last one wins. The file has the permissions that a new file gets. What a power cut
    leaves is not promised: that takes ``os.fsync`` of the file before the block ends.

    Args:
        path: the file; its folder must exist.
        alone: no other process or thread writes ``path`` meanwhile. Then the temporary name is
            always the same, so that a large file that a killed process left is written over by
            the next one instead of staying.

    Raises:
        OSError: of the block or of the replacing; it names ``path``, not the temporary file.
    """
    # A name of its own is not derived from that of ``path``, which may be as long as is allowed.
    name = f".{path.name}.partial" if alone else f".tngexp-{secrets.token_hex(8)}.partial"
    temporary = path.with_name(name)
    try:
        if alone:
            temporary.unlink(missing_ok=True)  # a link to a file in use must not be written into
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        temporary.chmod(mode)  # safetensors makes files that nobody else may read
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(error.filename) == temporary:
            error.filename = str(path)
            del error.filename2
        raise
    finally:
        with contextlib.suppress(OSError):  # the error of the block matters more
            temporary.unlink(missing_ok=True)
