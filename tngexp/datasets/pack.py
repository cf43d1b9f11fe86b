"""``python -m tngexp.datasets.pack FOLDER OUT``: a folder of photos to tar shards and an index.

Images keep their encoded bytes and extensions. They are ordered by the SHA-256 of their paths, so
that shards are shuffled already, and the same folder gives the same bytes everywhere. Where OUT is
called FILE.safetensors, it becomes one file of their pixels instead, for ``data=tensor``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tqdm import tqdm

from tngexp.common.atomic import replacing
from tngexp.common.terminal import named_path, reason, run_printing
from tngexp.datasets.images import DataError, DataWarning, FilePhoto
from tngexp.datasets.scan import Scan, check_folder, scan
from tngexp.datasets.shards.index import INDEX, Shard, ShardIndex, load_index
from tngexp.datasets.shards.read import is_image, name_hash, webdataset
from tngexp.datasets.tensor.file import SUFFIX, PixelFile, read_pixels, write_pixels
from tngexp.types import ConfigError, TngexpError

__all__ = ["index_shards", "main", "pack", "pack_pixels"]

_HEADER = 1024  # about what a tar adds to a member


def pack(
    folder: Path, out: Path, shard_mib: float = 256, min_side: int = 256, force: bool = False
) -> tuple[ShardIndex, bool]:
    """Packs the images below ``folder`` into ``out``.

    Unreadable images and those with a side below ``min_side`` are left out with a warning.

    Returns:
        The index, and False if ``out`` held these shards already.

    Raises:
        DataError: nothing to pack, or ``out`` holds something else and ``force`` is not given.
    """
    if not shard_mib > 0 or min_side < 1:
        raise ConfigError("--shard-size and --min-side must be above 0.")
    webdataset("writer")  # its absence is reported before the folder is searched
    found = _scan(check_folder("FOLDER", folder), min_side)
    photos = sorted(found.photos, key=lambda photo: name_hash(photo.name))
    if not force and (index := _finished(out, photos, shard_mib)) is not None:
        return index, False
    _clear(out, force)
    keys = _keys(found)
    shards: list[Shard] = []
    packed: dict[FilePhoto, str] = {}  # with the SHA-256 of their files
    with tqdm(total=len(photos), unit="image", disable=None) as progress:
        for group in _groups(photos, shard_mib * 2**20):
            path = out / f"shard-{len(shards):06d}.tar"
            if written := _write(path, group, keys, found):
                shards.append(Shard(path.name, len(written), path.stat().st_size))
                packed |= written
            progress.update(len(group))
    found.photos = list(packed)
    found.warn()
    if not packed:
        raise DataError(f"FOLDER={folder}: no image could be read. Fix: check the folder.")
    index = ShardIndex(
        tuple(shards), min(photo.short_side for photo in packed), _source(packed, shard_mib)
    )
    index.save(out)  # last: shards without an index are unfinished
    return index, True


def pack_pixels(
    folder: Path, out: Path, min_side: int = 256, force: bool = False
) -> tuple[PixelFile, bool]:
    """Writes the pixels of the images below ``folder`` into the file ``out``.

    Unreadable images and those with a side below ``min_side`` are left out with a warning.

    Returns:
        The file, and False if it held these images already.

    Raises:
        DataError: nothing to pack, or ``out`` is something else and ``force`` is not given.
    """
    if min_side < 1:
        raise ConfigError("--min-side must be above 0.")
    found = _scan(check_folder("FOLDER", folder), min_side)
    source = _source(_digests(found.photos))
    if out.exists() and not force:
        try:
            held = read_pixels(out, "OUT")
        except DataError:
            held = None
        if held is None or held.source != source:
            raise DataError(
                f"OUT={out} already is another file. Fix: --force replaces it, or name another."
            )
        return held, False
    out.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(found.photos), unit="image", disable=None) as progress:
        bad = write_pixels(out, found.photos, source, progress.update)
    for photo, why in bad:
        found.photos.remove(photo)
        found.unreadable.append((photo.name, why))
    found.warn()
    return read_pixels(out, "OUT"), True


def _write(
    path: Path, group: Sequence[FilePhoto], keys: dict[str, str], found: Scan
) -> dict[FilePhoto, str]:
    """Writes one shard, and returns what is in it; files that vanished are noted in ``found``."""
    written = {}
    with (
        replacing(path, alone=True) as part,
        part.open("wb") as file,
        # A fixed time, so that the bytes depend on the images alone.
        webdataset("writer").TarWriter(file, encoder=False, compress=False, mtime=0) as tar,
    ):
        for photo in group:
            try:
                data = photo.path.read_bytes()
            except OSError as error:
                found.unreadable.append((photo.name, error.strerror or str(error)))
                continue
            tar.write({"__key__": keys[photo.name], photo.path.suffix[1:]: data})
            written[photo] = hashlib.sha256(data).hexdigest()
    if not written:
        path.unlink()
    return written


def index_shards(folder: Path) -> ShardIndex:
    """Writes the index of local shards that another program made. Raises DataError."""
    shards = []
    for path in sorted(check_folder("--index", folder).glob("*.tar")):
        if not path.is_file():
            raise DataError(f"{path} is no file. Fix: take it out of the folder.")
        try:
            with tarfile.open(path, "r:") as tar:
                count = sum(member.isreg() and is_image(member.name) for member in tar)
                # tarfile takes a damaged header for the end; a whole archive ends with zeros.
                end = tar.offset
            with path.open("rb") as file:
                file.seek(end)
                if any(file.read(512)) or path.stat().st_size < end:
                    raise tarfile.ReadError("truncated or damaged")
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"cannot read {path} ({error}). Fix: copy it again.") from error
        shards.append(Shard(path.name, count, path.stat().st_size))
    if not any(shard.images for shard in shards):
        raise DataError(f"--index={folder} has no .tar file with images. Fix: name another folder.")
    index = ShardIndex(tuple(shards))
    index.save(folder)
    return index


def _scan(folder: Path, min_side: int) -> Scan:
    found = scan("FOLDER", folder, min_side)
    if not found.photos:
        raise DataError(
            f"FOLDER={folder}: none of its {len(found.small) + len(found.unreadable)} images can "
            f"be packed ({len(found.small)} have a side below --min-side={min_side}, "
            f"{len(found.unreadable)} are unreadable). Fix: lower --min-side, or add photos."
        )
    return found


def _source(files: Mapping[FilePhoto, str], shard_mib: float | None = None) -> str:
    """Equal for the same files, by name and content, and the same arguments."""
    named = [(ascii(photo.name), digest) for photo, digest in files.items()]
    return hashlib.sha256(json.dumps([named, shard_mib]).encode()).hexdigest()


def _digests(photos: Sequence[FilePhoto]) -> dict[FilePhoto, str]:
    """The SHA-256 of each photo's file."""
    files = {}
    for photo in photos:
        with photo.path.open("rb") as file:
            files[photo] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def _finished(out: Path, photos: Sequence[FilePhoto], shard_mib: float) -> ShardIndex | None:
    """The index of ``out`` if it is complete and came from the same images and arguments."""
    try:
        _, index = load_index(out)
    except DataError:
        return None
    if index.images != len(photos):
        return None  # spares reading them
    return index if index.source == _source(_digests(photos), shard_mib) else None


def _clear(out: Path, force: bool) -> None:
    """Makes ``out`` ready to be written; the index goes first, so that a crash leaves none."""
    if out.exists() and not out.is_dir():
        raise DataError(f"OUT={out} is a file. Fix: name a folder.")
    out.mkdir(parents=True, exist_ok=True)
    old = [path for path in (out / INDEX, *sorted(out.glob("shard-*.tar"))) if path.exists()]
    if old and not force:
        raise DataError(
            f"OUT={out} already holds other or unfinished shards ({old[0].name}). "
            "Fix: --force replaces them, or name another folder."
        )
    for path in old:
        path.unlink()


def _keys(found: Scan) -> dict[str, str]:
    """Tar-safe names without extension; no two are equal.

    WebDataset takes members of one key for one sample, and ends a key at the first dot. Photos that
    differ in the extension alone keep it in the key.
    """
    stems = Counter(str(PurePosixPath(photo.name).with_suffix("")) for photo in found.photos)
    keys = {}
    for photo in found.photos:
        path = PurePosixPath(photo.name)
        stem = path.with_suffix("")
        kept = path if stems[str(stem)] > 1 else stem
        parts = [quote(part, safe=" ", errors="surrogateescape") for part in kept.parts]
        parts[-1] = parts[-1].replace(".", "%2E")
        # Names that begin with two underscores mean metadata.
        keys[photo.name] = re.sub("^__", "%5F_", "/".join(parts))
    return keys


def _groups(photos: Sequence[FilePhoto], limit: float) -> Iterator[list[FilePhoto]]:
    """Photos of one shard each; a shard exceeds the limit only if a single photo does."""
    group: list[FilePhoto] = []
    size = 0
    for photo in photos:
        nbytes = photo.path.stat().st_size + _HEADER
        if group and size + nbytes > limit:
            yield group
            group, size = [], 0
        group.append(photo)
        size += nbytes
    if group:
        yield group


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_printing(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.index is None and options.out is None:
        parser.error("FOLDER and OUT are needed, or --index DIR")
    pixels = options.index is None and options.out.suffix == SUFFIX
    if pixels and options.shard_size is not None:
        parser.error(f"--shard-size is for shards; OUT={options.out} becomes one file")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            lines = _packed_pixels(options) if pixels else _packed_shards(options)
        for warning in caught:
            print(f"warning: {warning.message}", file=sys.stderr)
    except TngexpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        about = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {about}{reason(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; --force starts anew", file=sys.stderr)
        return 130
    print("\n".join(lines))
    return 0


def _packed_pixels(options: argparse.Namespace) -> tuple[str, str]:
    """Packs, and says what was done and what to do with it."""
    out = options.out
    file, fresh = pack_pixels(options.folder, out, options.min_side, options.force)
    size = out.stat().st_size / 2**20
    return (
        f"{_done(fresh)}: {len(file.photos)} images in {size:.4g} MiB, {out}",
        f"train with data=tensor data.file={out}",
    )


def _packed_shards(options: argparse.Namespace) -> tuple[str, str]:
    """The same for shards, or for the index of shards made elsewhere."""
    if options.index is not None:
        index, done, out = index_shards(options.index), "indexed", options.index
    else:
        out = options.out
        size = 256 if options.shard_size is None else options.shard_size
        index, fresh = pack(options.folder, out, size, options.min_side, options.force)
        done = _done(fresh)
    return (
        f"{done}: {index.images} images in {len(index.shards)} shards, {out}",
        f"train with data=shards data.root={out}",
    )


def _done(fresh: bool) -> str:
    return "packed" if fresh else "already packed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tngexp.datasets.pack",
        description="Pack a folder of photos for data=shards, or for data=tensor if OUT is called "
        f"FILE{SUFFIX}",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=named_path, nargs="?", help="searched below"
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=named_path,
        nargs="?",
        help=f"folder for the shards, or FILE{SUFFIX} for the pixels",
    )
    parser.add_argument("--shard-size", type=float, metavar="MIB", help="default 256")
    parser.add_argument(
        "--min-side", type=int, default=256, metavar="PIXELS",
        help="leave smaller images out; not below the data.crop to train with (default 256)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace what OUT holds")
    parser.add_argument(
        "--index",
        type=named_path,
        metavar="DIR",
        help="only write an index for shards made elsewhere",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
