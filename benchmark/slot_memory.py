"""Measure whether an A2VIS keeps slots and memories: before any evaluation, on any weights and data.

    python benchmark/slot_memory.py --weights onboard.safetensors --data clips --videos 4 --frames 60

Agreement: of the objects visible in a clip, the share whose slot in p^G, by ownership, is the slot that matching the
clip's own prototypes p^k anew would give them. Where the two differ, one vector has to be two objects.

Memory after k clips, over the slots that own an object by then:
- of a change: the share of a small change of p^G that is left in the same channels (the mean of the diagonal of the
  derivative of p^G after k clips by p^G before them);
- of a difference: the distance to where a fresh slot would be after the same k clips, as a share of the distance before
  them. A fresh slot sees what is in view, so it comes near by seeing, too.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2vis_model import load_weights
from a2vis_model.data.formats import open_dataset
from a2vis_model.modeling import A2VIS, FrameFeatures, concatenate, split_clips
from a2vis_model.training import Augmentation, Batch, LossSettings, augment
from a2vis_model.training.matching import NONE, assign, newcomers, own, to_host
from a2vis_model.training.objectives import set_cost, track_cost

AFTER = (1, 2, 5)
"""Clips after which memory is measured."""
SEEN = 4
"""Clips seen before."""
_CHANGE = 1e-2


def owners(
    model: A2VIS, features: FrameFeatures, batch: Batch, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The slot of each object in each of a sequence's clips, [count, n]: p^G's by ownership, p^k's by matching anew."""
    length = batch.images.shape[1] // count
    unrolled = model.unroll(features, count)
    assert unrolled.tracks is not None
    visible, amodal = batch.targets("visible").split(length), batch.targets("amodal").split(length)
    present = visible.present.any(axis=1)
    arrivals = np.flatnonzero(newcomers(present[None]).any(axis=2))
    settings = LossSettings()
    matching, claiming = to_host(
        [
            set_cost(unrolled.clips, visible, settings)[-1],
            track_cost(unrolled.tracks, visible, amodal, arrivals, settings),
        ]
    )
    cost = np.zeros((count, *claiming.shape[1:]), np.float32)
    cost[arrivals] = claiming
    return own(cost[None], present[None])[0], assign(matching, present)


def memories(model: A2VIS, features: FrameFeatures, clips: int, slots: NDArray[np.int64]) -> dict[str, list[float]]:
    """Memory of these slots after each of the clips that follow the first `SEEN`; see the module's text."""
    start = model.initial_state().prototypes
    before = start
    for k in range(SEEN):
        before = model.advance(split_clips(features, clips)[k], before).global_prototypes
    signs = torch.randint(0, 2, before.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    runs = [before + _CHANGE * signs, before - _CHANGE * signs, before, start]
    distance = (before - start).norm(dim=-1)
    result: dict[str, list[float]] = {"change": [], "difference": []}

    def mean(of_slots: Tensor) -> float:
        return float(of_slots[0, slots].mean())

    for k in range(SEEN, min(SEEN + max(AFTER), clips)):
        clip = split_clips(features, clips)[k]
        runs = [model.advance(clip, prototypes).global_prototypes for prototypes in runs]
        more, less, kept, fresh = runs
        result["change"].append(mean(((more - less) * signs).mean(dim=-1) / (2 * _CHANGE)))
        result["difference"].append(mean((kept - fresh).norm(dim=-1) / distance))
    return result


@torch.inference_mode()
def main() -> None:
    """Measure some videos and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="a data set with amodal masks")
    parser.add_argument("--videos", type=int, default=4, help="its first ones (%(default)s)")
    parser.add_argument("--frames", type=int, default=60, help="of each, its first ones (%(default)s)")
    arguments = parser.parse_args()
    model, config = load_weights(arguments.weights)
    if not isinstance(model, A2VIS):
        parser.error(f"{arguments.weights}: {config.name} has no global prototypes; give the weights of an A2VIS")
    model.eval()
    data = open_dataset(arguments.data, classes=config.classes)
    agreed = compared = 0
    memory: dict[str, list[list[float]]] = defaultdict(list)
    for index in range(min(arguments.videos, len(data))):
        video = data[index]
        clips = min(arguments.frames, video.length) // config.clip_length
        sample = video.load(range(clips * config.clip_length), seen_only=True)
        size = {"height": config.input_height, "width": config.input_width}
        batch = Batch.collate([augment(sample, Augmentation.none(), rng=np.random.default_rng(0), **size)])
        images = batch.normalised()
        features = concatenate([model.extract(images[:, t : t + 1]) for t in range(images.shape[1])])
        owned, matched = owners(model, features, batch, clips)
        both = (owned != NONE) & (matched != NONE)
        agreed, compared = agreed + int((owned == matched)[both].sum()), compared + int(both.sum())
        slots = owned[SEEN - 1][owned[SEEN - 1] != NONE]
        if clips >= SEEN + max(AFTER) and len(slots):
            for kind, values in memories(model, features, clips, slots).items():
                memory[kind].append(values)
    print(f"agreement of slots: {agreed / max(compared, 1):.2f} of {compared} objects in clips")
    for kind, values in memory.items():
        means = np.mean(values, axis=0)
        print(f"memory of a {kind}: " + ", ".join(f"{means[k - 1]:.2f} after {k}" for k in AFTER) + " clips")


if __name__ == "__main__":
    main()
