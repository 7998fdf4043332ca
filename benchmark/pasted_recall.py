"""Does a detector find pasted things as it finds real ones? Recall by size, on composed frames and on photographs.

    python benchmark/pasted_recall.py --weights onboard_frame.safetensors --classes person \
        --real stills/val/annotations.json --composed composed:robot@val

A thing is found if a query of its class, of probability 0.3 or more, has a visible mask whose IoU with its own is 0.5
or more. Of the composed things those are counted that are seen to four fifths; of photographs nobody knows, and all
are. Sizes are the square root of the visible area, in pixels of the network's input. A detector trained on photographs
alone that finds pasted things as often as real ones of their size says that they look alike; one trained on pasted
things that finds them more often than real ones has learned the paste.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
from collections.abc import Iterator, Sequence
from contextlib import suppress

import cv2
import numpy as np
import torch
from tqdm import tqdm

from a2vis_model.config import ModelConfig
from a2vis_model.data.problems import DataError
from a2vis_model.modeling import VideoNetwork
from a2vis_model.training.augmentation import Augmentation, TrainingSample, augment
from a2vis_model.training.batch import Batch
from a2vis_model.training.sources import VideoSource, open_source
from a2vis_model.weights import load_weights

EDGES = (0, 16, 32, 64, 96, 160, 10_000)  # pixels
PROBABILITY = 0.3
OVERLAP = 0.5
WHOLE = 0.8  # visible share


def main() -> None:
    """Print both recalls side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--real", required=True, help="data set of photographs")
    parser.add_argument("--composed", required=True, help="composed:DIR@SPLIT")
    parser.add_argument("--classes", default="", help="what is put into composed frames and counted (all)")
    parser.add_argument("--frames", type=int, default=250, help="composed frames, and photographs at the most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    network, config = load_weights(args.weights)
    network.eval()
    names = [name for name in args.classes.split(",") if name] or config.classes
    numbers = [config.classes.index(name) for name in names]
    tables = []
    for text in (args.real, args.composed):
        source = open_source(text, names, frames=1, seed=args.seed, gigabytes=0)
        tables.append(
            [row for sample in samples(source, config, args.frames) for row in found(network, sample, numbers)]
        )
    print("size            real: things, recall    composed: things, recall")
    for low, high in [*zip(EDGES, EDGES[1:], strict=False), (0, EDGES[-1])]:
        cells = []
        for table in tables:
            hits = [hit for size, hit in table if low <= size < high]
            cells.append(f"{len(hits):6d}  {np.mean(hits) if hits else np.nan:6.1%}")
        print(f"{low:5d} - {high:5d}   {cells[0]:>20}    {cells[1]:>24}")


def samples(source: VideoSource, config: ModelConfig, count: int) -> Iterator[TrainingSample]:
    """The first `count` pictures, at the size of the network's input."""
    for index in tqdm(range(min(len(source), count))):
        with suppress(DataError):
            sample = source[index].load([0], seen_only=True)
            size = {"height": config.input_height, "width": config.input_width}
            yield augment(sample, Augmentation.none(), **size, rng=np.random.default_rng(0))


@torch.inference_mode()
def found(network: VideoNetwork, sample: TrainingSample, numbers: Sequence[int]) -> list[tuple[float, bool]]:
    """Size and whether it is found, of each thing that is nearly whole; ``numbers`` are the network's of the sample's
    classes."""
    if not len(sample.classes):
        return []
    batch = Batch.collate([sample])
    detections = network.detector.detections(network.detector(batch.normalised().flatten(0, 1)))
    probabilities = detections.classes[0].softmax(-1).numpy()
    masks = (detections.masks[0].flatten(1) > 0).float()  # [Q, h w]
    wanted = (batch.targets("visible").cells[0][0] > 0.5).float()  # [n, h w]
    common = masks @ wanted.T
    overlap = (common / (masks.sum(1)[:, None] + wanted.sum(1) - common).clamp(min=1)).numpy()
    visible, amodal = (m[0].sum(axis=(1, 2)) for m in (sample.visible, sample.amodal))
    rows = []
    for n, number in enumerate(numbers[c] for c in sample.classes.tolist()):
        if visible[n] >= WHOLE * amodal[n]:
            hit = (overlap[:, n] >= OVERLAP) & (probabilities[:, number] >= PROBABILITY)
            rows.append((float(np.sqrt(visible[n])), bool(hit.any())))
    return rows


if __name__ == "__main__":
    main()
