"""Measure how well objects are found in space: with depth and on the ground plane, with amodal and with visible masks.

    python benchmark/space.py --world robot --clips 40 --output space_robot.json
    python benchmark/space.py --world composed --cutouts DIR --backgrounds DIR --weights onboard --clips 40 \\
        --output space_composed.json

Each clip is rendered with its truth, never written, and run through the localizer with the masks that are true and,
with --weights, with those that the network predicts. The output is written anew after every clip, so that it can be
stopped at any time.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from a2vis_model import StreamingTracker, TrackedInstance, freeze, load_weights, read_track_settings
from a2vis_model.commands.render import parse_size
from a2vis_model.data.problems import ProblemLog
from a2vis_model.files.atomic import write_text
from a2vis_model.masks.region import RegionMask
from a2vis_model.render import RenderedClip, clip_seed, render_clip
from a2vis_model.render.composed_world import ComposedClip
from a2vis_model.render.cutouts import load_pictures
from a2vis_ros.bags.rendered_clips import space_frames
from a2vis_ros.planner.mask_codec import RunLengthMask
from a2vis_ros.space.depth_surface import DepthNoise
from a2vis_ros.space.evaluation import SpaceScorer, View
from a2vis_ros.space.localizer import ImageTrack, LocalizerSettings, State
from a2vis_ros.space.placement import PlacementSettings
from a2vis_ros.space.profiles import DEFAULT_PROFILES, ClassProfile
from a2vis_ros.space.rehearsal import METHODS, Method, SpaceFrame, compare
from a2vis_ros.space.report import CLAIM, claim, compact, comparison, details, document
from a2vis_ros.space.transforms import RigidTransform

FLAT = {name: replace(profile, length=0.05, width=0.05) for name, profile in DEFAULT_PROFILES.items()}
"""The composed world's things are flat."""
BODIES = {
    "Person": ClassProfile(0.84, 0.57, 1.68, 0.2, speed_std=1.7),
    "Vehicle": ClassProfile(2.3, 1.0, 0.9, 0.9, speed_std=3.8),
    "Box": ClassProfile(0.7, 0.7, 0.7, 0.3, speed_std=0.5),
    "Ball": ClassProfile(0.61, 0.61, 0.61, 0.26, speed_std=2.1),
    "Robot": ClassProfile(1.0, 0.8, 1.4, 0.35, speed_std=1.0),
    "other": ClassProfile(),
}
"""The robot world's bodies: means and deviations of 300 of its scenes."""


@dataclass(frozen=True)
class Noise:
    """What sensors add to the truth; nothing by default."""

    attitude_deg: float = 0.0
    """Standard deviation of the camera's pitch and roll in the transform, anew in every frame."""
    depth: DepthNoise | None = None

    def add(self, frame: SpaceFrame, rng: np.random.Generator) -> SpaceFrame:
        """The frame as these sensors see it."""
        pose, depth = frame.world_from_camera, frame.depth
        if self.attitude_deg:
            angles = np.deg2rad(self.attitude_deg) * rng.standard_normal(2)
            turn = Rotation.from_rotvec([angles[0], 0, angles[1]]).as_matrix()
            pose = RigidTransform(pose.rotation @ turn, pose.translation)
        if self.depth is not None and depth is not None:
            spread = self.depth.constant + self.depth.quadratic * depth**2
            depth = np.where(depth > 0, depth + spread * rng.standard_normal(depth.shape, dtype=np.float32), 0)
        return replace(frame, world_from_camera=pose, depth=depth)


NOISES = {"exact": Noise(), "noisy": Noise(0.5, DepthNoise())}
"""Noisy is what the localizer takes for granted, see `PlacementSettings`."""


class Predictor:
    """The tracks that a network finds in a clip."""

    def __init__(self, weights: str) -> None:
        model, config = load_weights(weights)
        self._tracker = StreamingTracker(freeze(model), config, settings=read_track_settings(weights))

    def tracks(self, clip: RenderedClip) -> list[list[ImageTrack]]:
        """Return the tracks of each frame."""
        self._tracker.reset()
        results = [found for t, image in enumerate(clip.frames) for found in self._tracker.push(image, t / clip.fps)]
        results += self._tracker.flush()
        return [[_track(instance) for instance in result.instances] for result in results]


def _track(instance: TrackedInstance) -> ImageTrack:
    return ImageTrack(
        track_id=instance.track_id,
        state=State(int(instance.state)),
        class_id=instance.class_id,
        class_name=instance.class_name,
        score=instance.score,
        existence=instance.existence,
        visible=_runs(instance.visible),
        amodal=_runs(instance.amodal),
    )


def _runs(mask: RegionMask | None) -> RunLengthMask:
    if mask is None:
        return RunLengthMask.empty()
    return RunLengthMask(mask.x, mask.y, mask.width, mask.height, mask.counts)


@dataclass
class Run:
    """Scorers of every kind of masks, sensors and method, and what has been measured so far."""

    localizer: LocalizerSettings
    scorers: dict[tuple[str, str], dict[Method, SpaceScorer]] = field(default_factory=dict)
    clips: int = 0

    def add(self, masks: str, frames: Sequence[SpaceFrame], seed: int) -> None:
        """Score one clip with such masks."""
        for name, noise in NOISES.items():
            rng = np.random.default_rng(seed)
            given = [noise.add(frame, rng) for frame in frames]
            scorers = self.scorers.setdefault((masks, name), {method: SpaceScorer() for method in METHODS})
            compare(given, scorers, self.localizer)

    def groups(self) -> dict[str, dict[Method, SpaceScorer]]:
        return {f"{masks}, {noise} sensors": scorers for (masks, noise), scorers in self.scorers.items()}

    def document(self) -> dict[str, Any]:
        """All numbers of the tables, and those of the methods that are not told in full there."""
        return {"clips": self.clips, **document(self.groups())}

    def tables(self) -> str:
        """The same in Markdown."""
        groups = self.groups()
        parts = [f"## The claim: on the ground, amodal masks against visible ones\n\n{claim(groups)}"]
        for masks, scorers in groups.items():
            parts.append(f"## Masks: {masks}\n\nPosition error, median / p95 (m)\n\n{comparison(scorers)}")
            parts.append(f"All scores\n\n{details(scorers)}")
            for method in CLAIM:
                low, high = scorers[method].median_interval([View.FOOT_COVERED])
                parts.append(f"{method.name}, foot covered: median within {low:.2f} to {high:.2f} m (95 %, by clips)")
        return "\n\n".join(parts) + "\n"


def _renderer(args: argparse.Namespace) -> Callable[[int], RenderedClip]:
    width, height = args.size
    size = {"frames": args.frames, "height": height, "width": width}
    if args.world == "robot":
        return lambda seed: render_clip(world="robot", seed=seed, space=True, **size)
    pictures = load_pictures(args.cutouts, args.backgrounds, ProblemLog())
    return lambda seed: ComposedClip.sample(pictures, seed=seed, **size).render(space=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=("robot", "composed"), required=True)
    parser.add_argument("--cutouts", type=Path, help="composed: as `a2vis render` takes them")
    parser.add_argument("--backgrounds", type=Path, help="composed: as `a2vis render` takes them")
    parser.add_argument("--weights", help="also measure with the masks that these predict")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--size", type=parse_size, default=(480, 320), metavar="WxH")
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument(
        "--hidden-std", type=float, default=PlacementSettings().hidden_std, help="as object_localizer's (%(default)s)"
    )
    parser.add_argument(
        "--outline-std", type=float, default=PlacementSettings().outline_std, help="as object_localizer's (%(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON, below 50 kB; tables beside it as .md")
    args = parser.parse_args()
    if (args.world == "composed") != (args.cutouts is not None and args.backgrounds is not None):
        parser.error("--cutouts and --backgrounds belong to --world composed, which needs both")
    cv2.setNumThreads(1)
    render = _renderer(args)
    predictor = Predictor(args.weights) if args.weights else None
    placement = PlacementSettings(outline_std=args.outline_std, hidden_std=args.hidden_std)
    profiles = BODIES if args.world == "robot" else FLAT
    run = Run(LocalizerSettings(placement=placement, profiles=profiles))
    for number in range(args.clips):
        start = time.monotonic()
        seed = clip_seed(args.seed, number)
        clip = render(seed)
        frames = space_frames(clip)
        run.add("true", frames, seed)
        if predictor is not None:
            found = predictor.tracks(clip)
            run.add("predicted", [replace(f, tracks=t) for f, t in zip(frames, found, strict=True)], seed)
        run.clips += 1
        settings = {
            "world": args.world,
            "weights": args.weights,
            "frames": args.frames,
            "size": args.size,
            "seed": args.seed,
            "outline_std": args.outline_std,
            "hidden_std": args.hidden_std,
        }
        write_text(args.output, compact(settings | run.document()))
        write_text(args.output.with_suffix(".md"), run.tables())
        print(f"clip {number}: {len(clip.objects)} objects, {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
