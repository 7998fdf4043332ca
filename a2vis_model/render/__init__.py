"""Procedural occlusion videos with exact visible and amodal masks: an aquarium after FISHBOWL, and a robot's world.

    clip = render_clip(world="robot", seed=7, frames=32, height=320, width=480)
    clip.frames                # uint8 RGB [T, H, W, 3]
    clip.objects[0].amodal     # bool [T, H, W]

`SyntheticClips` feeds training without using the disk; `write_clip` writes FISHBOWL's layout. `ComposedClip`
(`composed_world.py`) makes such videos from real pictures: cut-outs that move over photographs.
"""

from .classes import CLASS_NAMES, WORLD_CLASSES
from .clip import RenderedClip, RenderedObject
from .fishbowl_writer import write_clip
from .worlds import SyntheticClips, World, clip_seed, render_clip

__all__ = [
    "CLASS_NAMES",
    "WORLD_CLASSES",
    "RenderedClip",
    "RenderedObject",
    "SyntheticClips",
    "World",
    "clip_seed",
    "render_clip",
    "write_clip",
]
