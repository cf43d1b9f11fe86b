"""One process at a time writes to a run's folder."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from tngexp.types import ConfigError

__all__ = ["RunLock"]

_NAME = ".lock"


class RunLock:
    """Held from :meth:`claim` to the end of the ``with`` block, or of the process.

    The system keeps the lock, not the file, which stays: ``kill -9`` leaves nothing to clear.
    """

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def claim(self, run_dir: Path) -> None:
        """Make ``run_dir`` and keep others out of it.

        Raises:
            ConfigError: when another process, or another thread, has claimed it.
            OSError: when the folder cannot be written to.
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / _NAME, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"another process is training in {run_dir}; wait for its end, or give this run "
                "another folder with run_dir=DIR (a sweep with hydra.sweep.dir=DIR)."
            ) from error
        self._lock = lock
