"""Textures of the robot world: floors, walls, furniture and surfaces of bodies, float RGB [h, w, 3] in 0..1."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import Array, vector
from .texture import Rng, colour_of, mix, noise, plain


def any_colour(
    rng: Rng, saturation: tuple[float, float] = (0.1, 0.9), value: tuple[float, float] = (0.2, 0.95)
) -> Array:
    """Sample RGB [3] of any hue."""
    return colour_of(float(rng.uniform(0, 360)), float(rng.uniform(*saturation)), float(rng.uniform(*value)))


def _ramp(rows: int, columns: int) -> tuple[Array, Array]:
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    return y, x


def _cells(rng: Rng, rows: int, columns: int, height: float, width: float, stagger: bool) -> tuple[Array, Array]:
    """Return a tone per tile in -1..1 and the joints between tiles as a mask, both [rows, columns]."""
    y, x = _ramp(rows, columns)
    row = np.floor(y / height)
    x = x + (row % 2) * width / 2 * stagger
    column = np.floor(x / width)
    lot = rng.uniform(-1, 1, 4096).astype(np.float32)
    tone = lot[(row * 61 + column * 17).astype(np.int64) % 4096]
    joint = (y % height < max(1.0, height * 0.05)) | (x % width < max(1.0, width * 0.04))
    return tone, joint.astype(np.float32)


def planks(rng: Rng, rows: int, columns: int) -> Array:
    """Make a floor of wooden planks."""
    base = colour_of(float(rng.uniform(15, 40)), float(rng.uniform(0.3, 0.65)), float(rng.uniform(0.35, 0.8)))
    tone, joint = _cells(rng, rows, columns, columns / rng.uniform(14, 30), columns / rng.uniform(2, 5), True)
    grain = cv2.resize(noise(rng, rows, max(columns // 16, 4), 8, 3), (columns, rows), interpolation=cv2.INTER_LINEAR)
    image = plain(rows, columns, base) * (1 + 0.14 * tone + 0.08 * grain)[..., None]
    return mix(image, base * 0.45, 0.7 * joint)


def tiles(rng: Rng, rows: int, columns: int) -> Array:
    """Make a tiled floor or wall, in one colour or chequered."""
    first, second = any_colour(rng, (0, 0.35), (0.35, 0.95)), any_colour(rng, (0, 0.35), (0.35, 0.95))
    side = columns / rng.uniform(8, 20)
    tone, joint = _cells(rng, rows, columns, side, side, False)
    y, x = _ramp(rows, columns)
    chequer = (np.floor(y / side) + np.floor(x / side)) % 2 * (rng.uniform() < 0.5)
    image = mix(plain(rows, columns, first), second, chequer) * (1 + 0.07 * tone)[..., None]
    return mix(image, (0.3, 0.3, 0.3), 0.5 * joint)


def bricks(rng: Rng, rows: int, columns: int) -> Array:
    """Make a brick wall."""
    base = colour_of(float(rng.uniform(0, 40)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.4, 0.8)))
    height = columns / rng.uniform(30, 50)
    tone, joint = _cells(rng, rows, columns, height, height * 2.6, True)
    image = plain(rows, columns, base) * (1 + 0.18 * tone + 0.08 * noise(rng, rows, columns, 10))[..., None]
    return mix(image, (0.72, 0.70, 0.66), 0.8 * joint)


def stripes(rng: Rng, rows: int, columns: int) -> Array:
    """Make striped wallpaper."""
    _, x = _ramp(rows, columns)
    first, second = any_colour(rng, (0, 0.35), (0.5, 1)), any_colour(rng, (0, 0.35), (0.5, 1))
    return mix(plain(rows, columns, first), second, x / columns * rng.uniform(8, 40) % 1 < rng.uniform(0.25, 0.6))


def plaster(rng: Rng, rows: int, columns: int) -> Array:
    """Make a plastered wall."""
    return (
        plain(rows, columns, any_colour(rng, (0, 0.3), (0.45, 0.95)))
        * (1 + 0.04 * noise(rng, rows, columns, 60, 5))[..., None]
    )


def carpet(rng: Rng, rows: int, columns: int) -> Array:
    """Make a carpet."""
    image = plain(rows, columns, any_colour(rng, (0, 0.5), (0.2, 0.6)))
    return image * (1 + 0.10 * noise(rng, rows, columns, 40, 3) + 0.10 * noise(rng, rows, columns, 2, 1))[..., None]


def asphalt(rng: Rng, rows: int, columns: int) -> Array:
    """Make asphalt, often with lane markings."""
    image = plain(rows, columns, any_colour(rng, (0, 0.12), (0.25, 0.5)))
    image *= (1 + 0.08 * noise(rng, rows, columns, 50, 4) + 0.06 * noise(rng, rows, columns, 2, 1))[..., None]
    if rng.uniform() < 0.7:
        y, x = _ramp(rows, columns)
        lane, dash = columns / rng.uniform(5, 9), columns / rng.uniform(8, 16)
        image = mix(
            image,
            (0.85, 0.85, 0.8),
            0.9 * ((x % lane < lane * 0.03) & (y % dash < dash * rng.uniform(0.4, 1))),
        )
    return image


def grass(rng: Rng, rows: int, columns: int) -> Array:
    """Make a lawn."""
    base = colour_of(float(rng.uniform(75, 120)), float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.3, 0.55)))
    blades = 0.14 * noise(rng, rows, columns, 3, 1) + 0.16 * noise(rng, rows, columns, 50, 4)
    return plain(rows, columns, base) * (1 + blades)[..., None]


def facade(rng: Rng, rows: int, columns: int) -> Array:
    """Make a house front with rows of windows."""
    image = bricks(rng, rows, columns) if rng.uniform() < 0.5 else plaster(rng, rows, columns)
    y, x = _ramp(rows, columns)
    wide, high = columns / rng.uniform(10, 22), rows / rng.uniform(2, 4)
    window = (np.abs(x % wide - wide / 2) < wide * 0.26) & (np.abs(y % high - high / 2) < high * 0.26)
    frame = (np.abs(x % wide - wide / 2) < wide * 0.31) & (np.abs(y % high - high / 2) < high * 0.31)
    image = mix(image, (0.9, 0.9, 0.88), frame)
    return mix(image, any_colour(rng, (0.1, 0.4), (0.1, 0.45)), window)


def lived_in(rng: Rng, wall: Array) -> Array:
    """Return `wall` with posters, windows and a skirting board, and uneven light."""
    rows, columns = wall.shape[:2]
    image = wall.copy()
    for _ in range(int(rng.integers(0, 5))):
        h, w = int(rows * rng.uniform(0.15, 0.45)), int(columns * rng.uniform(0.05, 0.18))
        y, x = int(rng.uniform(0.08, 0.4) * rows), int(rng.uniform(0, 1) * (columns - w))
        image[max(y - 3, 0) : y + h + 3, max(x - 3, 0) : x + w + 3] = any_colour(rng, (0, 0.3), (0.1, 0.95))
        picture = plain(h, w, any_colour(rng)) * (1 + 0.3 * noise(rng, h, w, max(h, w) / 2, 3))[..., None]
        image[y : y + h, x : x + w] = picture[: rows - y, : columns - x]
    image[-max(2, rows // 24) :] *= np.float32(rng.uniform(0.4, 0.8))
    return uneven(rng, image)


def uneven(rng: Rng, image: Array) -> Array:
    """Return `image` with soft light and shade."""
    rows, columns = image.shape[:2]
    return image * (1 + 0.10 * noise(rng, rows, columns, max(rows, columns) / 2, 2))[..., None]


def cloth(rng: Rng, size: int = 64) -> Array:
    """Make a plain, striped or chequered cloth."""
    kind = rng.integers(4)
    colour = any_colour(rng, (0, 0.85), (0.1, 0.95))
    image = plain(size, size, colour)
    y, x = _ramp(size, size)
    other = any_colour(rng, (0, 0.85), (0.1, 0.95))
    if kind == 1:
        image = mix(image, other, y % (size / rng.integers(4, 12)) < size / 24)
    elif kind == 2:
        check = (y % (size / 6) < size / 14).astype(np.float32) + (x % (size / 6) < size / 14)
        image = mix(image, other, 0.5 * check)
    return image * (1 + 0.10 * noise(rng, size, size, size / 3, 3))[..., None]


def skin(rng: Rng, size: int = 64) -> Array:
    """Make skin of any tone."""
    colour = mix(vector(0.95, 0.76, 0.65), (0.30, 0.19, 0.13), float(rng.uniform()))
    return plain(size, size, colour) * (1 + 0.04 * noise(rng, size, size, 20))[..., None]


def head(rng: Rng, size: int = 64) -> Array:
    """Make the texture of a head, an unrolled ball: hair above and behind, a face ahead, around u = 0.25."""
    image = skin(rng, size)
    y, x = _ramp(size, size)
    u, v = x / size, y / size
    hair = (v < 0.3) | ((np.abs(u - 0.25) > rng.uniform(0.13, 0.2)) & (v < rng.uniform(0.5, 0.75)))
    image = mix(
        image,
        any_colour(rng, (0.2, 0.7), (0.05, 0.5)) * (1 + 0.2 * noise(rng, size, size, 6))[..., None],
        hair,
    )
    for side in (-0.06, 0.06):
        image = mix(image, (0.05, 0.05, 0.05), np.hypot(u - 0.25 - side, (v - 0.48) / 1.4) < 0.022)
    return mix(image, (0.45, 0.15, 0.15), (np.abs(u - 0.25) < 0.05) & (np.abs(v - 0.66) < 0.015))


def paint(rng: Rng, size: int = 64) -> Array:
    """Make coachwork with a stripe and panel joints."""
    y, x = _ramp(size, size)
    image = plain(size, size, any_colour(rng, (0, 0.95), (0.15, 1)))
    if rng.uniform() < 0.5:
        image = mix(image, any_colour(rng), np.abs(y / size - rng.uniform(0.2, 0.8)) < rng.uniform(0.03, 0.12))
    image = mix(image, image * 0.5, (x % (size / rng.integers(2, 4)) < 1).astype(np.float32))
    return image * (1.1 - 0.25 * y / size)[..., None] * (1 + 0.04 * noise(rng, size, size, 24))[..., None]


def glass(rng: Rng, size: int = 64) -> Array:
    """Make a cabin side: windows between posts in a dark tone."""
    y, x = _ramp(size, size)
    image = plain(size, size, any_colour(rng, (0, 0.8), (0.2, 0.95)))
    pane = (np.abs(y / size - 0.5) < 0.33) & (x % (size / 2) > size * 0.06) & (x % (size / 2) < size * 0.44)
    return mix(image, plain(size, size, (0.12, 0.16, 0.2)) * (1.6 - y / size)[..., None], pane)


def tyre(rng: Rng, size: int = 64) -> Array:
    """Make the texture of a lying drum: rim in the rows of its flat top, rubber below."""
    y, x = _ramp(size, size)
    image = plain(size, size, (0.10, 0.10, 0.11))
    spokes = np.sin(x / size * 2 * np.pi * rng.integers(4, 8)) > 0
    hub = mix(plain(size, size, any_colour(rng, (0, 0.2), (0.5, 0.9))), (0.25, 0.25, 0.25), spokes)
    return mix(image, hub, y / size < 0.3)


def crate(rng: Rng, size: int = 64) -> Array:
    """Make cardboard with tape and a label, a wooden crate, or a printed carton."""
    y, x = _ramp(size, size)
    u, v = x / size, y / size
    kind = rng.integers(3)
    if kind == 0:
        image = plain(size, size, colour_of(float(rng.uniform(25, 38)), 0.42, float(rng.uniform(0.55, 0.8))))
        image = mix(image, (0.85, 0.78, 0.6), 0.6 * (np.abs(u - 0.5) < 0.07))
        image = mix(image, (0.92, 0.92, 0.9), (np.abs(u - 0.25) < 0.14) & (np.abs(v - 0.7) < 0.12))
    elif kind == 1:
        image = planks(rng, size, size)
        image = mix(image, image * 0.6, (np.minimum(u, 1 - u) < 0.1) | (np.minimum(v, 1 - v) < 0.1))
    else:
        image = mix(plain(size, size, any_colour(rng)), any_colour(rng), np.abs(v - rng.uniform(0.3, 0.7)) < 0.15)
        image = mix(image, any_colour(rng), np.hypot(u - 0.5, v - 0.5) < rng.uniform(0.1, 0.25))
    edge = (np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) < 0.025).astype(np.float32)
    return mix(image, image * 0.6, edge) * (1 + 0.05 * noise(rng, size, size, 24, 4))[..., None]


def toy_ball(rng: Rng, size: int = 64) -> Array:
    """Make segments, spots or bands, which show the rolling of a ball."""
    y, x = _ramp(size, size)
    u, v = x / size, y / size
    first, second = any_colour(rng, (0.0, 1), (0.5, 1)), any_colour(rng, (0.3, 1), (0.2, 1))
    kind = rng.integers(3)
    if kind == 0:
        pattern = np.floor(u * 6) % 2
    elif kind == 1:
        pattern = np.hypot((u * 6) % 1 - 0.5, (v * 4) % 1 - 0.5) < 0.3
    else:
        pattern = np.abs(v - 0.5) < 0.12
    return mix(plain(size, size, first), second, pattern) * (1 + 0.04 * noise(rng, size, size, 12))[..., None]


def metal(rng: Rng, size: int = 64) -> Array:
    """Make a machine casing: panels, a coloured band, vents."""
    y, x = _ramp(size, size)
    u, v = x / size, y / size
    image = plain(size, size, any_colour(rng, (0, 0.2), (0.35, 0.95)))
    image = mix(image, any_colour(rng, (0.5, 1), (0.4, 1)), np.abs(v - rng.uniform(0.2, 0.8)) < 0.07)
    image = mix(image, (0.15, 0.15, 0.16), 0.7 * ((u % 0.25 < 0.02) | (np.abs(v - 0.5) < 0.01)))
    vents = (np.abs(u - 0.62) < 0.08) & (np.abs(v - 0.35) < 0.1) & (v * 40 % 1 < 0.5)
    return mix(image, (0.1, 0.1, 0.1), 0.8 * vents) * (1 + 0.03 * noise(rng, size, size, 16))[..., None]


def face_plate(rng: Rng, size: int = 64) -> Array:
    """Make the head of a machine: a dark screen with two lights."""
    y, x = _ramp(size, size)
    u, v = x / size, y / size
    image = plain(size, size, any_colour(rng, (0, 0.2), (0.5, 0.95)))
    image = mix(image, (0.06, 0.07, 0.09), (np.abs(u - 0.5) < 0.38) & (np.abs(v - 0.5) < 0.28))
    glow = any_colour(rng, (0.5, 1), (0.9, 1))
    for centre in (0.35, 0.65):
        image = mix(image, glow, np.hypot(u - centre, v - 0.5) < 0.09)
    return image


FLOORS = (planks, tiles, carpet, asphalt)
WALLS = (plaster, stripes, bricks, tiles, planks)
