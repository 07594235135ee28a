"""The colours of the style file, as people without the cones for green see them.

The matrix is that of Machado, Oliveira and Fernandes 2009, severity 1; the difference is CIEDE2000
(Sharma, Wu and Dalal 2005).
"""

import math
import re
from pathlib import Path

STYLE = Path("src/thence/server/web/static/style.css")
_VARIABLE = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
_MATRIX = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
Lab = tuple[float, float, float]


def variables(*, is_dark: bool) -> dict[str, str]:
    """Returns the colours by their names, of one scheme."""
    blocks = re.split(r"@media \(prefers-color-scheme: dark\) \{", STYLE.read_text())
    light = dict(_VARIABLE.findall(blocks[0]))
    dark = dict(light)
    for block in blocks[1:]:
        inside, _, after = block.partition("\n}\n")
        dark |= _VARIABLE.findall(inside)
        light |= _VARIABLE.findall(after)
        dark = dict(_VARIABLE.findall(after)) | dark
    return dark if is_dark else light


def as_deuteranopes_see(colour: str) -> Lab:
    """Returns a colour of the form #rrggbb in CIELAB."""

    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    def times(matrix: tuple[Lab, Lab, Lab], vector: Lab) -> Lab:
        a, b, c = (sum(x * y for x, y in zip(row, vector, strict=True)) for row in matrix)
        return a, b, c

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    r, g, b = (min(1.0, max(0.0, part)) for part in times(_MATRIX, (red, green, blue)))
    x, y, z = (
        part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116
        for part in times(_XYZ, (r, g, b))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: Lab, other: Lab) -> float:
    """Returns the difference of two colours by CIEDE2000."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1, h2 = (math.degrees(math.atan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cosine(factor: float, by: float) -> float:
        return math.cos(math.radians(factor * hue + by))

    t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6) - 0.2 * cosine(4, -63)
    of_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2))
    of_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    of_hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    rotated = 60 * math.exp(-(((hue - 275) / 25) ** 2))
    together = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(math.radians(rotated))
    return math.sqrt(of_light**2 + of_chroma**2 + of_hue**2 + together * of_chroma * of_hue)
