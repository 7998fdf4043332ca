"""Scene of a composed video: a place, a camera in it, moving things, and what stands in front of them.

The world has the ground at y = 0, z ahead of the camera and metres as units. Things stand upright on the ground, so
that those lower in the picture are nearer, larger and in front.
"""

from __future__ import annotations

from dataclasses import dataclass

from .backdrop import Backdrop, sample_backdrop
from .cutouts import Pictures
from .obstacles import Obstacle, sample_obstacles
from .stage import Stage
from .texture import Rng
from .things import Thing, sample_thing
from .traits import traits_of
from .view import View, sample_view

_WINDOW = 4.0  # Shortest duration in seconds for which journeys are made; a shorter video is a part of it.
_CROWD_SHARE = 0.12  # Share of videos.
_MOST = 15  # Number of things.


@dataclass(frozen=True)
class Scene:
    """Content of a video.

    `start` is the scene's time in seconds at the first frame, `shadow` the darkness of the ground below things in 0..1.
    """

    backdrop: Backdrop
    view: View
    things: tuple[Thing, ...]
    obstacles: tuple[Obstacle, ...]
    start: float
    shadow: float


def sample_scene(rng: Rng, pictures: Pictures, *, duration: float, height: int, width: int) -> Scene:
    """Sample a scene for `duration` seconds in pictures of `height` by `width` pixels."""
    classes = sample_classes(rng, pictures)
    window = max(duration, _WINDOW)
    traits = [traits_of(name, pictures.sizes) for name in classes]
    view, depth = sample_view(rng, traits, window=window, height=height, width=width)
    start = float(rng.uniform(0, window - duration))
    photo = pictures.backgrounds[int(rng.integers(len(pictures.backgrounds)))]
    backdrop = sample_backdrop(rng, photo, view.at_rest(start), depth)
    stage = Stage(backdrop, view.camera(window / 2), window)
    things = tuple(
        sample_thing(rng, pictures, stage, number=number, class_name=name) for number, name in enumerate(classes)
    )
    return Scene(
        backdrop=backdrop,
        view=view,
        things=things,
        obstacles=sample_obstacles(rng, pictures, things, view, stage),
        start=start,
        shadow=float(rng.uniform(0.25, 0.65)),
    )


def sample_classes(rng: Rng, pictures: Pictures) -> list[str]:
    """Sample the class of each thing of a scene: one to four classes, drawn evenly, or one class for a crowd."""
    crowd = rng.uniform() < _CROWD_SHARE
    kinds = 1 if crowd else int(rng.choice((1, 2, 3, 4), p=(0.2, 0.35, 0.25, 0.2)))
    names = rng.permutation(pictures.classes)[:kinds].tolist()
    count = int(rng.integers(9, _MOST + 1)) if crowd else int(min(rng.geometric(0.27), 9))
    return [str(names[int(rng.integers(len(names)))]) for _ in range(count)]
