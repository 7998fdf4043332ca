"""The five species of fish: proportions, fins, colouring and habits, as numbers.

Lengths along and across the body are in body lengths, `s` counted from the nose (0) to the tail's tips (1),
heights from the line through nose and tail, up positive. Habits are FISHBOWL's: orbit radius and height,
speed, tail beat and the bend `offset_x = m^2 sin(t + m wave) bend`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .camera import Array
from .texture import line, mix, noise, plain, step

Columns = tuple[tuple[float, float, float, float], ...]
"""A fin as columns of (base s, base height, edge s, edge height), front to back."""

Painter = Callable[["Species", np.random.Generator], Array]

ATLAS = (96, 256)  # Rows and columns of the flank's texture.
FIN_ROWS = 32  # Rows of fin texture below it.


@dataclass(frozen=True)
class Species:
    """One species; rows of `profile` are (s, top, bottom, half width), and paired fins splay sideways by `splay`."""

    name: str
    length: float
    profile: tuple[tuple[float, float, float, float], ...]
    fins: tuple[Columns, ...]
    paired_fins: tuple[tuple[Columns, float], ...]
    paint: Painter
    brightness: float
    colourful: float  # How far tints deviate from the species' own colour, 0..1.
    size_range: tuple[float, float]
    speed: tuple[float, float]  # Smallest value, and range above it.
    radius: tuple[float, float]
    height: tuple[float, float]  # Offset, and range.
    tail_beat: float
    wave: float
    bend: float
    hammer: float = 0.0  # Half width of a hammerhead's head.


def body_line(species: Species, s: Array) -> tuple[Array, Array, Array]:
    """Return top, bottom and half width at `s`, each of its shape: a monotone cubic through the profile."""
    knots = np.array(species.profile, np.float64)
    x = knots[:, 0]
    slope = np.gradient(knots[:, 1:], x, axis=0)
    i = np.clip(np.searchsorted(x, s, side="right") - 1, 0, len(x) - 2)
    h = x[i + 1] - x[i]
    t = np.clip((s - x[i]) / h, 0, 1)[..., None]
    a, b = knots[i, 1:], knots[i + 1, 1:]
    da, db = slope[i] * h[..., None], slope[i + 1] * h[..., None]
    y = (2 * t**3 - 3 * t**2 + 1) * a + (t**3 - 2 * t**2 + t) * da + (3 * t**2 - 2 * t**3) * b + (t**3 - t**2) * db
    top, bottom, half_width = np.moveaxis(y.astype(np.float32), -1, 0)
    return top, bottom, half_width


def flank_heights(species: Species) -> tuple[float, float]:
    """Return the heights that the first and the last row of the flank's texture show."""
    return max(row[1] for row in species.profile) + 0.01, min(row[2] for row in species.profile) - 0.01


@dataclass(frozen=True)
class _Flank:
    """Coordinates of every texel of a flank seen from its side, each [rows, columns]."""

    s: Array
    rise: Array  # 0 at the belly, 1 at the back.
    y: Array


def _flank(species: Species) -> _Flank:
    rows, columns = ATLAS
    s = np.broadcast_to(np.linspace(0, 1, columns, dtype=np.float32), (rows, columns))
    y = np.broadcast_to(np.linspace(*flank_heights(species), rows, dtype=np.float32)[:, None], (rows, columns))
    top, bottom, _ = body_line(species, s)
    return _Flank(s=s, rise=np.clip((y - bottom) / np.maximum(top - bottom, 1e-3), 0, 1), y=y)


def _eye(image: Array, f: _Flank, at: tuple[float, float], radius: float, iris: tuple[float, float, float]) -> Array:
    r = np.hypot(f.s - at[0], f.y - at[1])
    image = mix(image, (0.08, 0.08, 0.08), 1 - step(r, radius * 1.25, 0.006))
    image = mix(image, iris, 1 - step(r, radius, 0.006))
    return mix(image, (0.03, 0.03, 0.03), 1 - step(r, radius * 0.5, 0.006))


def _gill(image: Array, f: _Flank, s: float, strength: float) -> Array:
    arc = (
        line(f.s + 0.03 * ((f.rise - 0.5) * 2) ** 2, s, 0.012) * step(f.rise, 0.15, 0.1) * (1 - step(f.rise, 0.85, 0.1))
    )
    return mix(image, (0.05, 0.05, 0.05), strength * arc)


def _fin_texture(rng: np.random.Generator, colour: tuple[float, float, float], rays: int, contrast: float) -> Array:
    _, columns = ATLAS
    u = np.linspace(0, 1, columns, dtype=np.float32)[None, :]
    v = np.linspace(0, 1, FIN_ROWS, dtype=np.float32)[:, None]
    ray = (1 + np.cos(2 * np.pi * rays * u)) / 2 * np.ones_like(v)
    image = plain(FIN_ROWS, columns, colour) * (1 + contrast * (ray - 0.5))[..., None]
    return image * (1 + 0.06 * noise(rng, FIN_ROWS, columns, 12))[..., None] * (0.92 + 0.16 * v)[..., None]


def _paint_mackerel(species: Species, rng: np.random.Generator) -> Array:
    f = _flank(species)
    image = mix(plain(*ATLAS, (0.50, 0.50, 0.45)), (0.36, 0.33, 0.31), step(f.rise, 0.42, 0.12))
    image = mix(image, (0.74, 0.66, 0.66), 0.8 * line(f.rise, 0.62 - 0.06 * f.s, 0.045) * step(f.s, 0.2, 0.05))
    image = mix(image, (0.66, 0.60, 0.60), 0.6 * line(f.rise, 0.76 - 0.08 * f.s, 0.04) * step(f.s, 0.2, 0.05))
    image = mix(image, (0.20, 0.17, 0.17), 0.7 * line(f.rise, 0.54 - 0.05 * f.s, 0.06) * step(f.s, 0.22, 0.05))
    back = step(f.rise, 0.84, 0.07)
    bars = np.sin(2 * np.pi * (34 * f.s + 0.5 * np.sin(9 * f.rise))) > 0.1
    image = mix(image, (0.30, 0.44, 0.22), back)
    image = mix(image, (0.12, 0.16, 0.09), 0.6 * back * bars)
    image = mix(image, (0.62, 0.60, 0.56), 0.7 * (1 - step(np.hypot(f.s - 0.14, f.y + 0.01), 0.045, 0.03)))
    image = mix(image, (0.16, 0.14, 0.13), 0.8 * (1 - step(f.s, 0.05, 0.05)))
    image = _gill(_eye(image, f, (0.062, 0.008), 0.017, (0.75, 0.74, 0.68)), f, 0.2, 0.5)
    image *= (1 + 0.07 * noise(rng, *ATLAS, 20))[..., None]
    return np.concatenate([image, _fin_texture(rng, (0.50, 0.44, 0.40), 9, 0.4)])


def _paint_tuna(species: Species, rng: np.random.Generator) -> Array:
    f = _flank(species)
    image = mix(plain(*ATLAS, (0.82, 0.82, 0.79)), (0.27, 0.27, 0.25), step(f.rise, 0.62, 0.3))
    wave = f.rise + 0.10 * (f.s - 0.5) ** 2
    for centre in (0.14, 0.24, 0.34, 0.44):
        image = mix(image, (0.17, 0.16, 0.15), 0.65 * line(wave, centre, 0.035) * step(f.s, 0.42, 0.12))
    image = mix(image, (0.13, 0.12, 0.12), 0.55 * (1 - step(np.hypot((f.s - 0.56) / 1.5, f.y - 0.035), 0.022, 0.01)))
    wedge = (1 - step(np.abs(f.y + 0.005 + 0.12 * (f.s - 0.38)), 0.024 - 0.20 * np.abs(f.s - 0.34), 0.006)) > 0.5
    wedge &= (f.s > 0.29) & (f.s < 0.46)
    image = mix(image, (0.05, 0.05, 0.05), 0.95 * wedge)
    image = _eye(image, f, (0.083, 0.008), 0.021, (0.80, 0.80, 0.74))
    image = _gill(_gill(image, f, 0.17, 0.4), f, 0.27, 0.45)
    image = mix(image, (0.20, 0.19, 0.18), 0.6 * (1 - step(f.s, 0.03, 0.03)))
    image *= (1 + 0.05 * noise(rng, *ATLAS, 24))[..., None]
    return np.concatenate([image, _fin_texture(rng, (0.46, 0.43, 0.38), 13, 0.45)])


def _paint_perch(species: Species, rng: np.random.Generator) -> Array:
    f = _flank(species)
    image = mix(plain(*ATLAS, (0.70, 0.44, 0.36)), (0.72, 0.20, 0.15), step(f.rise, 0.55, 0.45))
    row = np.floor(f.rise * 22)
    across = (f.s * 52 + 0.5 * (row % 2)) % 1 - 0.5
    down = (f.rise * 22) % 1 - 0.5
    scale = np.clip(1.3 - 2.6 * np.hypot(across, down), 0, 1)
    flank = step(f.s, 0.2, 0.03)
    image *= (1 + flank * (0.5 * scale - 0.28))[..., None]
    image = _gill(image, f, 0.22, 0.4)
    pectoral = 1 - step(np.hypot((f.s - 0.36) / 2.6, f.y + 0.035), 0.032, 0.006)
    image = mix(image, image * 0.55, pectoral)
    image = _eye(image, f, (0.105, 0.022), 0.02, (0.70, 0.52, 0.30))
    image *= (1 + 0.10 * noise(rng, *ATLAS, 16))[..., None]
    return np.concatenate([image, _fin_texture(rng, (0.78, 0.27, 0.22), 12, 0.6)])


def _paint_white_shark(species: Species, rng: np.random.Generator) -> Array:
    f = _flank(species)
    border = 0.27 + 0.05 * np.sin(19 * f.s) + 0.03 * np.sin(43 * f.s + 1)
    image = mix(plain(*ATLAS, (0.84, 0.94, 1.0)), (0.54, 0.66, 0.70), step(f.rise - border, 0.0, 0.05))
    image = mix(image, (0.40, 0.50, 0.55), 0.7 * step(f.rise, 0.85, 0.25))
    for i in range(5):
        gill = line(f.s, 0.215 + 0.018 * i, 0.005) * (np.abs(f.rise - 0.5) < 0.2)
        image = mix(image, (0.36, 0.37, 0.39), 0.6 * gill)
    mouth = line(f.y, -0.025 - 0.25 * (f.s - 0.03), 0.007) * (f.s > 0.025) * (f.s < 0.11)
    image = mix(image, (0.22, 0.15, 0.16), 0.8 * mouth)
    image = mix(image, (0.06, 0.06, 0.06), 1 - step(np.hypot(f.s - 0.055, f.y - 0.008), 0.007, 0.004))
    image *= (1 + 0.025 * noise(rng, *ATLAS, 40))[..., None]
    return np.concatenate([image, _fin_texture(rng, (0.42, 0.52, 0.56), 3, 0.06)])


def _paint_hammerhead(species: Species, rng: np.random.Generator) -> Array:
    f = _flank(species)
    image = mix(plain(*ATLAS, (0.70, 0.80, 0.84)), (0.52, 0.64, 0.69), step(f.rise, 0.42, 0.28))
    image = mix(image, (0.36, 0.46, 0.52), 0.6 * step(f.rise, 0.9, 0.15))
    for i in range(4):
        gill = line(f.s, 0.21 + 0.016 * i, 0.005) * (np.abs(f.rise - 0.45) < 0.16)
        image = mix(image, (0.38, 0.40, 0.42), 0.5 * gill)
    image *= (1 + 0.03 * noise(rng, *ATLAS, 40))[..., None]
    return np.concatenate([image, _fin_texture(rng, (0.42, 0.52, 0.57), 3, 0.06)])


def _tail(
    start: float,
    half: float,
    middle: float,
    notch: float,
    upper: tuple[float, float],
    lower: tuple[float, float],
) -> Columns:
    """Make a forked tail: from its root at `start` to the two tips, with the notch between them."""
    (us, uy), (ls, ly) = upper, lower
    return (
        (start, middle + half, us, uy),
        (start + 0.01, middle + half / 2, 0.45 * us + 0.55 * notch, 0.42 * uy + 0.58 * middle),
        (start + 0.01, middle, notch, middle),
        (start + 0.01, middle - half / 2, 0.45 * ls + 0.55 * notch, 0.42 * ly + 0.58 * middle),
        (start, middle - half, ls, ly),
    )


SPECIES: tuple[Species, ...] = (
    Species(
        name="SmallFishA",
        length=4.5,
        profile=(
            (0.0, 0.004, -0.016, 0.006),
            (0.05, 0.030, -0.045, 0.028),
            (0.12, 0.052, -0.068, 0.045),
            (0.25, 0.068, -0.094, 0.056),
            (0.40, 0.066, -0.106, 0.056),
            (0.55, 0.050, -0.102, 0.048),
            (0.70, 0.026, -0.070, 0.032),
            (0.82, 0.002, -0.030, 0.013),
            (0.88, -0.006, -0.022, 0.007),
        ),
        fins=(
            (
                (0.24, 0.06, 0.25, 0.065),
                (0.29, 0.06, 0.32, 0.135),
                (0.34, 0.06, 0.34, 0.138),
                (0.37, 0.06, 0.36, 0.07),
            ),
            ((0.56, 0.045, 0.58, 0.052), (0.80, 0.005, 0.81, 0.012)),
            _tail(0.84, 0.014, -0.014, 0.90, (0.985, 0.080), (1.0, -0.110)),
        ),
        paired_fins=((((0.22, -0.08, 0.24, -0.09), (0.26, -0.085, 0.285, -0.150), (0.31, -0.09, 0.29, -0.135)), 0.03),),
        paint=_paint_mackerel,
        brightness=0.78,
        colourful=0.5,
        size_range=(2.0, 4.0),
        speed=(1.0, 1.5),
        radius=(30.0, 25.0),
        height=(0.0, 16.0),
        tail_beat=10.0,
        wave=1.0,
        bend=2.0,
    ),
    Species(
        name="MediumFishA",
        length=7.0,
        profile=(
            (0.0, 0.006, -0.016, 0.008),
            (0.05, 0.040, -0.040, 0.040),
            (0.12, 0.078, -0.066, 0.066),
            (0.22, 0.106, -0.092, 0.084),
            (0.35, 0.122, -0.114, 0.092),
            (0.48, 0.124, -0.118, 0.088),
            (0.60, 0.112, -0.104, 0.072),
            (0.72, 0.082, -0.070, 0.046),
            (0.82, 0.050, -0.026, 0.022),
            (0.89, 0.036, 0.008, 0.008),
        ),
        fins=(
            (
                (0.36, 0.115, 0.37, 0.14),
                (0.39, 0.115, 0.415, 0.235),
                (0.43, 0.115, 0.45, 0.165),
                (0.50, 0.115, 0.51, 0.142),
                (0.60, 0.105, 0.60, 0.115),
            ),
            ((0.61, 0.100, 0.63, 0.115), (0.655, 0.09, 0.685, 0.172), (0.70, 0.08, 0.695, 0.10)),
            ((0.64, -0.085, 0.66, -0.10), (0.69, -0.075, 0.735, -0.145), (0.77, -0.04, 0.745, -0.085)),
            _tail(0.87, 0.013, 0.022, 0.895, (0.995, 0.155), (0.985, -0.125)),
        ),
        paired_fins=((((0.32, -0.105, 0.34, -0.12), (0.35, -0.105, 0.39, -0.215), (0.40, -0.11, 0.40, -0.19)), 0.03),),
        paint=_paint_tuna,
        brightness=0.88,
        colourful=0.45,
        size_range=(1.0, 2.0),
        speed=(1.0, 2.0),
        radius=(10.0, 20.0),
        height=(0.0, 16.0),
        tail_beat=1.0,
        wave=-2.0,
        bend=2.0,
    ),
    Species(
        name="MediumFishB",
        length=4.2,
        profile=(
            (0.0, -0.012, -0.035, 0.008),
            (0.05, 0.020, -0.058, 0.034),
            (0.10, 0.056, -0.074, 0.050),
            (0.20, 0.118, -0.096, 0.064),
            (0.30, 0.152, -0.106, 0.070),
            (0.42, 0.156, -0.110, 0.068),
            (0.54, 0.142, -0.100, 0.058),
            (0.66, 0.112, -0.066, 0.040),
            (0.78, 0.074, -0.020, 0.020),
            (0.85, 0.072, -0.014, 0.010),
        ),
        fins=(
            (
                (0.21, 0.115, 0.22, 0.125),
                (0.26, 0.135, 0.29, 0.215),
                (0.32, 0.145, 0.36, 0.240),
                (0.40, 0.150, 0.45, 0.212),
                (0.48, 0.145, 0.53, 0.182),
                (0.56, 0.135, 0.62, 0.180),
                (0.62, 0.120, 0.72, 0.160),
                (0.66, 0.110, 0.69, 0.118),
            ),
            ((0.52, -0.095, 0.55, -0.155), (0.60, -0.08, 0.66, -0.165), (0.67, -0.06, 0.70, -0.115)),
            (
                (0.83, 0.070, 0.985, 0.165),
                (0.84, 0.050, 0.965, 0.095),
                (0.84, 0.030, 0.955, 0.030),
                (0.84, 0.010, 0.965, -0.040),
                (0.83, -0.012, 0.985, -0.115),
            ),
        ),
        paired_fins=((((0.27, -0.10, 0.29, -0.12), (0.30, -0.10, 0.35, -0.215), (0.34, -0.105, 0.37, -0.20)), 0.04),),
        paint=_paint_perch,
        brightness=0.95,
        colourful=1.0,
        size_range=(1.0, 2.0),
        speed=(0.5, 4.0),
        radius=(10.0, 20.0),
        height=(-8.0, 5.0),
        tail_beat=3.0,
        wave=-2.0,
        bend=2.0,
    ),
    Species(
        name="BigFishA",
        length=19.0,
        profile=(
            (0.0, 0.008, -0.010, 0.008),
            (0.05, 0.022, -0.032, 0.034),
            (0.12, 0.040, -0.060, 0.056),
            (0.22, 0.060, -0.074, 0.072),
            (0.35, 0.070, -0.080, 0.076),
            (0.48, 0.066, -0.076, 0.070),
            (0.60, 0.046, -0.066, 0.054),
            (0.72, 0.020, -0.052, 0.034),
            (0.82, 0.000, -0.036, 0.018),
            (0.88, -0.004, -0.026, 0.010),
        ),
        fins=(
            (
                (0.37, 0.062, 0.39, 0.075),
                (0.44, 0.06, 0.465, 0.150),
                (0.50, 0.055, 0.485, 0.145),
                (0.52, 0.05, 0.50, 0.07),
            ),
            ((0.70, 0.022, 0.72, 0.035), (0.73, 0.018, 0.74, 0.030)),
            ((0.71, -0.05, 0.735, -0.062), (0.74, -0.045, 0.75, -0.058)),
            _tail(0.86, 0.012, -0.014, 0.905, (1.0, 0.105), (0.955, -0.110)),
        ),
        paired_fins=(
            (((0.25, -0.05, 0.29, -0.10), (0.30, -0.06, 0.41, -0.185), (0.36, -0.06, 0.43, -0.175)), 0.11),
            (((0.57, -0.064, 0.59, -0.078), (0.62, -0.06, 0.645, -0.085)), 0.02),
        ),
        paint=_paint_white_shark,
        brightness=1.0,
        colourful=0.0,
        size_range=(1.0, 2.0),
        speed=(0.5, 0.5),
        radius=(50.0, 3.0),
        height=(0.0, 16.0),
        tail_beat=1.5,
        wave=-1.0,
        bend=0.5,
    ),
    Species(
        name="BigFishB",
        length=17.5,
        profile=(
            (0.0, -0.026, -0.040, 0.030),
            (0.05, -0.006, -0.046, 0.044),
            (0.12, 0.024, -0.052, 0.050),
            (0.22, 0.058, -0.058, 0.058),
            (0.32, 0.086, -0.056, 0.058),
            (0.42, 0.080, -0.052, 0.052),
            (0.54, 0.058, -0.046, 0.042),
            (0.66, 0.044, -0.030, 0.030),
            (0.76, 0.030, -0.008, 0.016),
            (0.82, 0.026, 0.004, 0.010),
        ),
        fins=(
            (
                (0.27, 0.070, 0.30, 0.10),
                (0.34, 0.080, 0.385, 0.170),
                (0.40, 0.075, 0.450, 0.238),
                (0.44, 0.070, 0.440, 0.180),
                (0.47, 0.065, 0.47, 0.085),
            ),
            ((0.62, 0.045, 0.64, 0.060), (0.66, 0.04, 0.695, 0.098), (0.71, 0.035, 0.715, 0.060)),
            ((0.62, -0.036, 0.64, -0.052), (0.67, -0.025, 0.69, -0.048)),
            (
                (0.78, 0.032, 1.0, 0.140),
                (0.79, 0.022, 0.93, 0.085),
                (0.80, 0.014, 0.86, 0.012),
                (0.79, 0.008, 0.83, -0.040),
                (0.78, 0.000, 0.815, -0.078),
            ),
        ),
        paired_fins=(
            (((0.25, -0.045, 0.26, -0.10), (0.29, -0.045, 0.29, -0.185), (0.35, -0.05, 0.34, -0.12)), 0.06),
            (((0.50, -0.046, 0.52, -0.075), (0.55, -0.045, 0.555, -0.078)), 0.02),
        ),
        paint=_paint_hammerhead,
        brightness=1.0,
        colourful=0.0,
        size_range=(1.0, 2.0),
        speed=(0.5, 0.5),
        radius=(45.0, 3.0),
        height=(0.0, 16.0),
        tail_beat=1.0,
        wave=-0.7,
        bend=0.3,
        hammer=0.11,
    ),
)
