"""Time a step of training on the CPU: forwards, backwards and the optimiser, on batches made beforehand.

    python benchmark/training_step.py --stage frame --batch 8 --runs 6
    python benchmark/training_step.py --stage video --batch 2 --clips 5 --precision bf16 --runs 6

To compare two versions, run it with each in turns: PYTHONPATH says which package is timed. CPU time is that of the
process over all its threads; other programs disturb it less than the clock on the wall.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import statistics
import time

import torch
from torch.nn.utils import clip_grad_norm_

from a2vis_model import build_model, load_config
from a2vis_model.render.classes import FISH_NAMES
from a2vis_model.training import Augmentation, LossSettings, PointSampling, SequenceDataset, TrainingConfig
from a2vis_model.training.allocator import keep_memory
from a2vis_model.training.batch import Batch
from a2vis_model.training.loop import make_objective
from a2vis_model.training.optimisation import build_optimiser, select_trainable, set_mode
from a2vis_model.training.sources import open_source

_BATCHES = 3


def main() -> None:
    """Print the least and the median time of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="onboard")
    parser.add_argument("--stage", choices=("frame", "video"), default="frame")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=6)
    args = parser.parse_args()
    keep_memory()
    torch.set_flush_denormal(True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model_config = load_config(args.preset, classes=FISH_NAMES)
    config = TrainingConfig(
        stage=args.stage,
        steps=100,
        batch=args.batch,
        clips=args.clips,
        precision=args.precision,
        losses=LossSettings(sampling=PointSampling(points=args.points)),
    )
    data = SequenceDataset(
        sources=[
            open_source("render:aquarium", model_config.classes, frames=2 * config.reach + 1, seed=0, gigabytes=0.5)
        ],
        weights=[1.0],
        frames=config.frames_of(model_config),
        reach=config.reach,
        height=model_config.input_height,
        width=model_config.input_width,
        augmentation=Augmentation(),
        seed=0,
    )
    batches = [Batch.collate([data[args.batch * i + j] for j in range(args.batch)]) for i in range(_BATCHES)]
    model = build_model(model_config)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    select_trainable(model, config.stage)
    optimiser = build_optimiser(model, config.optimiser)
    objective = make_objective(model, model_config, config, torch.device("cpu"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    walls, processors, losses = [], [], []
    for run in range(-_BATCHES, args.runs):
        torch.manual_seed(run)
        wall, processor = time.perf_counter(), time.process_time()
        set_mode(model)
        loss = torch.stack(list(objective(batches[run % _BATCHES]).values())).sum()
        loss.backward()
        clip_grad_norm_(trained, config.optimiser.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if run >= 0:
            walls.append(time.perf_counter() - wall)
            processors.append(time.process_time() - processor)
            losses.append(loss.item())
    print(
        f"{args.preset}, {args.stage} stage, {args.precision}, {args.threads} threads, {args.runs} steps: "
        f"wall least {min(walls):.3f} s, median {statistics.median(walls):.3f} s; CPU least {min(processors):.3f} s, "
        f"median {statistics.median(processors):.3f} s; losses {' '.join(f'{loss:.3f}' for loss in losses)}"
    )


if __name__ == "__main__":
    main()
