"""``.tng`` in Pillow.

After ``import tngexp.pillow``, ``Image.open("x.tng")`` and ``im.save("x.tng")`` work. The codec is
what :func:`use` was given, else what the environment variable ``TNGEXP_MODEL`` names, else a
shipped one: to open, the one that the file names; to save, ``tngexp.zoo.DEFAULT``. Saving also
takes one with the call::

    im.save("x.tng", model="best.ckpt", quality=75)

:func:`use` also says at which look files are opened, 0 unless told otherwise.

``icc_profile`` and ``exif`` are taken as by other formats, ``exact=True`` as by Pillow's WebP: it
keeps the colours of fully transparent pixels.

``quality`` is for variable-rate codecs: a whole number counts per cent as in Pillow's JPEG
(0 … 100), a float is the codec's own scale (0.0 … 1.0). Opening reads the header only; pixels are
decoded when first needed. Bad files give ``UnidentifiedImageError`` or ``OSError``, bad options
``ValueError``, as with Pillow's own formats.
"""

from __future__ import annotations

import functools
import io
import os
from numbers import Integral, Real
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile, UnidentifiedImageError

from tngexp import zoo
from tngexp.bitstream import ImageCodec
from tngexp.bitstream.looks import check_look
from tngexp.coding.container import SIGNATURE, read
from tngexp.coding.errors import BitstreamError
from tngexp.model.codec import Codec
from tngexp.pixels import Picture, to_picture
from tngexp.types import ConfigError, TngexpError

__all__ = ["TngImageFile", "use"]

_ORIENTATION = 0x0112
_current: ImageCodec | None = None
_look = 0.0


def use(model: ImageCodec | Codec | str | Path | None, *, look: float = 0.0) -> None:
    """Open and save with this codec or checkpoint from now on; None forgets it.

    Args:
        model: a codec, a checkpoint, or None for what each file names.
        look: of pictures that are opened, 0 … 1.

    Raises:
        TngexpError: for an unusable checkpoint, a look outside of 0 … 1, or one above 0 that the
            codec does not have.
    """
    global _current, _look
    codec, look = None if model is None else _codec(model), check_look(look)
    if codec is not None:
        codec.prepare().painters.at(look)
    _current, _look = codec, look


class TngImageFile(ImageFile.ImageFile):
    """An opened ``.tng`` file: size, mode and metadata at once, pixels on ``load()``."""

    format = "TNG"
    format_description = "tngexp learned image"
    _data: bytes | None = None  # the file, until its pixels are decoded

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        try:
            file = read(data)
        except BitstreamError as error:
            # Anything else Pillow would replace by "cannot identify image file".
            raise UnidentifiedImageError(str(error)) from error
        self._size = (file.width, file.height)
        self._mode = file.mode
        self._data = data
        # The mode in a tuple of its own: given as text, Pillow may map the coded file as pixels.
        self.tile = [ImageFile._Tile("raw", (0, 0, *self._size), 0, (file.mode,))]
        if file.icc is not None:
            self.info["icc_profile"] = file.icc
        if file.cicp is not None:
            self.info["cicp"] = file.cicp
        if file.orientation is not None:
            exif = Image.Exif()
            exif[_ORIENTATION] = file.orientation
            self.info["exif"] = exif.tobytes()

    def load(self) -> Any:
        """Decode, the first time.

        Raises:
            OSError: with another model than the file was coded with, or for a damaged file.
        """
        if self._data is not None:
            try:
                named = zoo.name_of(read(self._data).model)
                pixels = _model(named).decompress(self._data, look=_look).tobytes()
            except TngexpError as error:
                raise OSError(str(error)) from error
            self._data = None
            if self.fp is not None and getattr(self, "_exclusive_fp", False):
                self.fp.close()
            self.fp = io.BytesIO(pixels)
        return super().load()


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    options: dict[str, Any] = image.encoderinfo
    try:
        codec = _codec(options["model"]) if options.get("model") is not None else _model()
        data = codec.compress(_picture(image, options), _quality(options.get("quality")))
    except TngexpError as error:
        raise ValueError(str(error)) from error
    fp.write(data)


def _picture(image: Image.Image, options: dict[str, Any]) -> Picture:
    """``image`` with the ``icc_profile`` and ``exif`` that were given to ``save``, if any."""
    before = image.info
    try:
        if "icc_profile" in options:
            profile = options["icc_profile"]
            if not isinstance(profile, bytes | None):
                raise ValueError(f"icc_profile must be bytes or None, not {profile!r}")
            # Not of a copy, which would have forgotten what its file says of the pixels.
            image.info = {**before, "icc_profile": profile}
        picture = to_picture(image, exact=bool(options.get("exact", False)))
    finally:
        image.info = before
    if "exif" in options:
        picture = picture._replace(orientation=_turned(options["exif"]))
    return picture


def _turned(exif: Any) -> int | None:
    """The orientation that ``exif`` tells, where it is not upright."""
    if not isinstance(exif, Image.Exif | bytes | None):
        raise ValueError(f"exif must be an Exif of Pillow, bytes or None, not {exif!r}")
    try:
        if not isinstance(exif, Image.Exif):
            data, exif = exif or b"", Image.Exif()
            exif.load(data)
        turned = exif.get(_ORIENTATION)
    except Exception as error:  # of Pillow's readers, any at all
        raise ValueError(f"exif is damaged: {error}") from error
    return turned if turned in range(2, 9) else None


def _quality(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, Integral):  # numpy's integers too
        if value is not True and value is not False and 0 <= int(value) <= 100:
            return int(value) / 100
    elif isinstance(value, Real) and 0 <= float(value) <= 1:
        return float(value)
    raise ValueError(f"quality must be a whole number 0 … 100 or a float 0.0 … 1.0, not {value!r}")


def _model(shipped: str | None = None) -> ImageCodec:
    """What the user chose, else the model ``shipped``, else the default."""
    if _current is not None:
        return _current
    given = os.environ.get("TNGEXP_MODEL")
    if given and shipped and shipped in zoo.generations(given):
        return _codec(shipped)  # the generation that the file names
    return _codec(given or shipped or zoo.DEFAULT)


def _codec(model: ImageCodec | Codec | str | Path) -> ImageCodec:
    if isinstance(model, ImageCodec):
        return model
    if isinstance(model, Codec):
        return ImageCodec(model)
    if not isinstance(model, str | os.PathLike):
        raise ConfigError(
            f"model must be a codec, a name of tngexp.zoo or a checkpoint's path, not {model!r}"
        )
    from tngexp.model.files import locate

    path = locate(model)
    return _load(path, _state(path))


def _state(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does, under whatever path and with whatever date it is replaced."""
    if not path.is_file():
        return ()
    status = path.stat()
    times = status.st_mtime_ns, status.st_ctime_ns  # the second cannot be set by hand
    return (status.st_dev, status.st_ino, status.st_size, *times)


@functools.lru_cache(maxsize=2)
def _load(path: Path, state: tuple[int, ...]) -> ImageCodec:
    from tngexp.bitstream.codec_files import load

    return load(path)


Image.register_open(TngImageFile.format, TngImageFile, _accept)
Image.register_save(TngImageFile.format, _save)
Image.register_extension(TngImageFile.format, ".tng")
Image.register_mime(TngImageFile.format, "image/x-tng")
