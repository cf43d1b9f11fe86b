"""Pictures of one kind that photos do not prepare for: rendered text and interface screenshots.

    python benchmarks/screens.py --out SCREENS

writes SCREENS/train (300 pictures) and SCREENS/test (24), what ``docs/how-to/fine-tune.md``
fine-tunes a codec on and measures it by. Everything is drawn from a seed: themes, fonts, windows,
paragraphs, code, tables, forms and charts. No seed, and so no picture, is in both folders.
"""

from __future__ import annotations

import argparse
import colorsys
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SIZE = (768, 512)
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
PROSE = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Bold.ttf", "STIXGeneral.ttf")
MONOSPACED = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
SYLLABLES = [start + end for start in "bcdfghjlmnprstvz" for end in ("a", "e", "i", "o", "u", "en")]

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom


class Theme(NamedTuple):
    """Colours of one picture."""

    desk: Colour
    paper: Colour
    ink: Colour
    faint: Colour
    accent: Colour
    code: tuple[Colour, ...]


class Screen:
    """One picture being drawn.

    Args:
        seed: decides everything.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.theme = _theme(self.random)
        self.image = Image.new("RGB", SIZE, self.theme.desk)
        self.draw = ImageDraw.Draw(self.image)
        self.prose = self.random.choice(PROSE)

    def render(self) -> Image.Image:
        width, height = SIZE
        self.bar((0, 0, width, 28))
        columns = self.random.choice([1, 2, 2, 3])
        rows = self.random.choice([1, 1, 2])
        margin = self.random.choice([0, 6, 14])
        for c in range(columns):
            for r in range(rows):
                self.window(
                    (
                        c * width // columns + margin,
                        28 + r * (height - 28) // rows + margin,
                        (c + 1) * width // columns - margin,
                        28 + (r + 1) * (height - 28) // rows - margin,
                    )
                )
        return self.image

    def bar(self, box: Box) -> None:
        self.draw.rectangle(box, fill=self.theme.accent)
        font, x = self.font(self.prose, 13), box[0] + 10
        while x < box[2] - 60:
            label = self.words(1).capitalize()
            self.draw.text((x, box[1] + 6), label, fill=(255, 255, 255), font=font)
            x += int(self.draw.textlength(label, font)) + 18

    def window(self, box: Box) -> None:
        left, top, right, bottom = box
        self.draw.rectangle(box, fill=self.theme.paper, outline=self.theme.faint)
        self.draw.rectangle((left, top, right, top + 22), fill=self.theme.faint)
        self.text((left + 8, top + 4), self.words(3), 12)
        for i in range(3):
            x = right - 16 - 16 * i
            self.draw.ellipse(
                (x, top + 6, x + 10, top + 16), fill=self.random.choice(self.theme.code)
            )
        content: Callable[[Box], None] = self.random.choice(
            [self.paragraphs, self.paragraphs, self.source, self.table, self.form, self.chart]
        )
        content((left + 12, top + 32, right - 10, bottom - 8))

    def paragraphs(self, box: Box) -> None:
        y, size = box[1], self.random.randint(11, 20)
        while y < box[3] - size:
            if self.random.random() < 0.15:
                self.text((box[0], y), self.words(3).title(), size + 6, self.theme.accent)
                y += size + 14
                continue
            line = ""
            font = self.font(self.prose, size)
            while self.draw.textlength(line, font) < (box[2] - box[0]) * 0.82:
                line += self.words(1) + self.random.choice([" ", " ", " ", ", ", ". "])
            self.draw.text((box[0], y), line, fill=self.theme.ink, font=font)
            y += int(size * 1.4)

    def source(self, box: Box) -> None:
        size = self.random.randint(11, 16)
        font, y, number, indent = self.font(self.random.choice(MONOSPACED), size), box[1], 1, 0
        while y < box[3] - size:
            self.draw.text((box[0], y), f"{number:3d}", fill=self.theme.faint, font=font)
            x = box[0] + 4 * size + indent * 2 * size
            while x < box[2] - 8 * size and self.random.random() < 0.8:
                token = self.token()
                colour = self.random.choice((*self.theme.code, self.theme.ink, self.theme.ink))
                self.draw.text((x, y), token, fill=colour, font=font)
                x += int(self.draw.textlength(token + " ", font))
            indent = max(0, min(3, indent + self.random.choice([-1, 0, 0, 1])))
            number, y = number + 1, y + int(size * 1.35)

    def token(self) -> str:
        word = self.words(1)
        if self.random.random() < 0.5:
            return self.random.choice([word, f"{word}({self.words(1)})", f'"{word}"', "# " + word])
        number = str(self.random.randint(0, 4096))
        return self.random.choice([number, "=", "return", "for", "->", "{}"])

    def table(self, box: Box) -> None:
        size, step = self.random.randint(11, 15), self.random.randint(64, 110)
        height = size + 9
        for row, y in enumerate(range(box[1], box[3] - height, height)):
            if row == 0:
                self.draw.rectangle((box[0], y, box[2], y + height), fill=self.theme.faint)
            self.draw.line((box[0], y + height, box[2], y + height), fill=self.theme.faint)
            for x in range(box[0], box[2] - step // 2, step):
                value = f"{self.random.gauss(50, 30):.2f}"
                cell = self.words(1).capitalize() if row == 0 or x == box[0] else value
                self.text((x + 4, y + 4), cell, size)

    def form(self, box: Box) -> None:
        y = box[1]
        while y < box[3] - 34:
            self.text((box[0], y + 6), self.words(1).capitalize(), 13)
            field = (box[0] + 90, y, min(box[2], box[0] + 300), y + 24)
            kind = self.random.randrange(4)
            if kind == 0:
                self.draw.rounded_rectangle(field, 4, fill=self.theme.accent)
                self.text((field[0] + 10, y + 5), self.words(1).title(), 13, (255, 255, 255))
            elif kind == 1:
                self.draw.rectangle(
                    (field[0], y + 4, field[0] + 14, y + 18), outline=self.theme.ink
                )
                if self.random.random() < 0.5:
                    self.draw.line((field[0] + 3, y + 11, field[0] + 6, y + 15), self.theme.ink, 2)
                    self.draw.line((field[0] + 6, y + 15, field[0] + 12, y + 6), self.theme.ink, 2)
                self.text((field[0] + 22, y + 5), self.words(2), 13)
            elif kind == 2:
                self.draw.line((field[0], y + 12, field[2], y + 12), self.theme.faint, 4)
                handle = self.random.randint(field[0], max(field[0], field[2] - 14))
                self.draw.ellipse((handle, y + 5, handle + 14, y + 19), fill=self.theme.accent)
            else:
                self.draw.rounded_rectangle(field, 3, outline=self.theme.faint, width=1)
                self.text((field[0] + 6, y + 5), self.words(2), 13)
            y += 34

    def chart(self, box: Box) -> None:
        left, top, right, bottom = box[0] + 30, box[1] + 4, box[2], box[3] - 18
        for i in range(6):
            y = bottom - i * (bottom - top) // 6
            self.draw.line((left, y, right, y), fill=self.theme.faint)
            self.text((box[0], y - 7), str(i * 20), 11)
        count = self.random.randint(5, 14)
        step = max(1, (right - left) // count)
        bars = self.random.random() < 0.5
        for colour in self.theme.code[: self.random.randint(1, 3)]:
            points = [
                (left + i * step + step // 2, self.random.randint(top, bottom))
                for i in range(count)
            ]
            if bars:
                for x, y in points:
                    self.draw.rectangle((x - step // 3, y, x + step // 3, bottom), fill=colour)
                break
            self.draw.line(points, fill=colour, width=self.random.choice([1, 2, 3]))
        self.draw.line((left, top, left, bottom, right, bottom), fill=self.theme.ink)

    def words(self, count: int) -> str:
        return " ".join(
            "".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 4)))
            for _ in range(count)
        )

    def text(self, at: tuple[int, int], text: str, size: int, colour: Colour | None = None) -> None:
        self.draw.text(at, text, fill=colour or self.theme.ink, font=self.font(self.prose, size))

    def font(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(FONTS / name, size)


def _theme(source: random.Random) -> Theme:
    hue, dark = source.random(), source.random() < 0.4

    def colour(shift: float, lightness: float, saturation: float) -> Colour:
        r, g, b = colorsys.hls_to_rgb((hue + shift) % 1, lightness, saturation)
        return round(255 * r), round(255 * g), round(255 * b)

    code = tuple(colour(s, 0.65 if dark else 0.35, 0.75) for s in (0.0, 0.2, 0.45, 0.7))
    accent = colour(0.1, 0.35, 0.6)
    if dark:
        ink, faint = colour(0, 0.88, 0.1), colour(0, 0.32, 0.1)
        return Theme(colour(0, 0.08, 0.3), colour(0, 0.13, 0.15), ink, faint, accent, code)
    ink, faint = colour(0, 0.08, 0.2), colour(0, 0.85, 0.2)
    return Theme(colour(0, 0.6, 0.3), colour(0, 0.98, 0.4), ink, faint, accent, code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=24)
    arguments = parser.parse_args()
    for name, first, count in (("train", 0, arguments.train), ("test", 10**6, arguments.test)):
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Screen(first + i).render().save(folder / f"{name}-{i:03d}.png", optimize=True)
    print(f"wrote {arguments.train} + {arguments.test} pictures to {arguments.out}")


if __name__ == "__main__":
    main()
