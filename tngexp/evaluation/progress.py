"""A progress bar for work that counts its images itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["image_progress"]


@contextmanager
def image_progress(what: str | None = None) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on a terminal while the block runs; yields what takes (images done, of all).

    Args:
        what: stands before the bar, which then goes when it is full, for the next one.
    """
    with tqdm(desc=what, unit="image", disable=None, leave=what is None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
