"""Reading numbers from bytes, with an error where they end."""

from __future__ import annotations

from tngexp.hybrid.formats.base import UnknownOriginError

__all__ = ["BitReader", "cut"]

_MAX_ZEROS = 32  # of an Exp-Golomb code (ITU-T H.265 §9.2) and of AV1's uvlc() (§4.10.3)


def cut(data: bytes, start: int, length: int, what: str) -> bytes:
    """``length`` bytes from ``start``.

    Raises:
        UnknownOriginError: "``what`` that is cut short", where there are fewer.
    """
    if start + length > len(data):
        raise UnknownOriginError(f"{what} that is cut short")
    return data[start : start + length]


class BitReader:
    """Numbers from the most significant bit of each byte on.

    Every method raises UnknownOriginError, "``what`` that is cut short", past the end.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._position = 0  # in bits

    @property
    def left(self) -> int:
        """How many bits are left."""
        return 8 * len(self._data) - self._position

    def u(self, bits: int) -> int:
        """An unsigned number."""
        first, end = self._position // 8, -(-(self._position + bits) // 8)
        window = int.from_bytes(cut(self._data, first, end - first, self._what), "big")
        self._position += bits
        return (window >> (8 * end - self._position)) & ((1 << bits) - 1)

    def take(self, length: int) -> bytes:
        """``length`` bytes, from the beginning of a byte on."""
        taken = cut(self._data, self._position // 8, length, self._what)
        self._position += 8 * length
        return taken

    def skip(self, bits: int) -> None:
        """Passes over ``bits``, without an error if there are fewer until something is read."""
        self._position += bits

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def su(self, bits: int) -> int:
        """A number in two's complement (AV1 §4.10.6)."""
        value = self.u(bits)
        return value - (1 << bits) if value >> (bits - 1) else value

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (ITU-T H.265 §9.2); AV1's uvlc() is the same."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise UnknownOriginError(f"{self._what} that is damaged")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code (ITU-T H.265 §9.2.2)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def ns(self, values: int) -> int:
        """A number below ``values`` in as few bits as it needs (AV1 §4.10.7)."""
        width = values.bit_length()
        short = (1 << width) - values  # how many numbers do with a bit less
        value = self.u(width - 1)
        return value if value < short else (value << 1) - short + self.u(1)
