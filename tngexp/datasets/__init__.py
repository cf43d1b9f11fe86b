"""Photos in, uint8 crops out: decoding, scanning, random crops, data modules.

Nothing is re-exported here: importing a decoder must not pull in Lightning.
"""

from __future__ import annotations

__all__: list[str] = []
