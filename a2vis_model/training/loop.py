"""The training loop."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from ..config import ModelConfig, config_to_dict, current_fields
from ..errors import A2VISError, CheckpointError
from ..files.atomic import replacing
from ..modeling import VideoNetwork
from ..weights import save_weights
from . import distributed
from .averaging import AveragedNetwork
from .batch import Batch
from .checkpoint import Checkpoint
from .config import TrainingConfig, differences, mask_kind
from .monitor import Monitor, StopSignals
from .objectives import FrameObjective, VideoObjective
from .optimisation import build_optimiser, select_trainable, set_learning_rate, set_mode
from .sequences import SequenceDataset, load_batches
from .value_checks import check_at_least

CHECKPOINT = "checkpoint.pt"
LAST = "weights.safetensors"
AVERAGE = "average.safetensors"
BEST = "best.safetensors"
_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

Validate = Callable[[VideoNetwork], dict[str, float]]


@dataclass(frozen=True)
class Run:
    """Place of a run and times of its pauses; none of this changes the result."""

    output: Path
    device: torch.device
    workers: int = 0
    """Number of processes that load data."""
    max_minutes: float | None = None
    """Minutes after `began` at which the run stops, to be resumed later."""
    began: float = field(default_factory=time.monotonic)
    checkpoint_minutes: float = 10.0
    validate_every: int = 1000
    """Number of steps between validations."""
    stop_at: int | None = None
    """Step after which the run is finished, if it is not to follow its schedule to the end."""

    def __post_init__(self) -> None:
        check_at_least(0, self, "workers", "checkpoint_minutes")
        check_at_least(1, self, "validate_every")
        if self.stop_at is not None:
            check_at_least(1, self, "stop_at")
        if self.max_minutes is not None:
            check_at_least(0, self, "max_minutes")


def train(
    model: VideoNetwork,
    model_config: ModelConfig,
    config: TrainingConfig,
    data: SequenceDataset,
    validate: Validate | None,
    run: Run,
    *,
    origin: dict[str, Any],
    resume: bool,
) -> bool:
    """Train a network in place, or resume a run that was stopped.

    Args:
        model: the network at its start; a resumed run overwrites it.
        model_config: its configuration.
        config: training configuration.
        data: sequences to train on.
        validate: measures the network, the averaged one where `config.average` keeps one; the mean of what it
            returns decides which weights are best. Of several processes only the first is given one.
        run: where the run takes place and when it pauses.
        origin: names and plain values that say what `data` and `validate` were made of; a resumed run must have the
            same.
        resume: continue from the checkpoint in `run.output`, if there is one.

    Returns:
        Whether all steps are done, up to `run.stop_at`; if not, the same call with `resume` continues.

    Raises:
        A2VISError: the loss became NaN or infinite, or the checkpoint belongs to another run.
    """
    model.to(run.device)
    put_channels_last(model)
    select_trainable(model, config.stage)
    optimiser = build_optimiser(model, config.optimiser)
    scaler = torch.amp.GradScaler(run.device.type, enabled=config.precision == "fp16")
    path = run.output / CHECKPOINT
    average = AveragedNetwork(model, config.average) if config.average else None
    start, best = 0, float("-inf")
    if path.exists():
        if not resume:
            raise A2VISError(f"{run.output} already holds a run; add --resume, or choose another --output")
        saved = Checkpoint.load(path)
        check_same_run(saved, model_config, config, origin, path)
        model.load_state_dict(saved.model)
        optimiser.load_state_dict(saved.optimiser)
        scaler.load_state_dict(saved.scaler)
        if average is not None and saved.average is not None:
            average.load_state_dict(saved.average)
        start, best = saved.step, saved.best
    objective = make_objective(model, model_config, config, run.device)
    trained = [p for p in model.parameters() if p.requires_grad]

    def save(step: int) -> None:
        if distributed.rank() == 0:
            Checkpoint(
                step=step,
                model_config=config_to_dict(model_config),
                training_config=asdict(config),
                origin=origin,
                model=model.state_dict(),
                average=None if average is None else average.state_dict(),
                optimiser=optimiser.state_dict(),
                scaler=scaler.state_dict(),
                best=best,
            ).save(path)
            notes = f"{config.stage} stage, step {step}"
            save_weights(run.output / LAST, model, model_config, notes=notes)
            if average is not None:
                save_weights(run.output / AVERAGE, average.module, model_config, notes=f"{notes}, averaged")

    end = config.steps if run.stop_at is None else min(run.stop_at, config.steps)
    loading = load_batches(
        data,
        range(start, end),
        batch=config.batch // distributed.world_size(),
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        workers=run.workers,
        device=run.device,
    )
    saved_at = time.monotonic()
    step = start
    with loading as batches, StopSignals() as stop, Monitor(run.output, start, end) as monitor:
        for step, batch in enumerate(batches, start + 1):
            seed_step(config.seed, step)
            set_mode(model)
            rate = config.optimiser.learning_rate * config.optimiser.factor(step - 1, config.steps)
            set_learning_rate(optimiser, rate)
            losses = objective(batch.to(run.device))
            values = torch.stack(list(losses.values()))
            scaler.scale(values.sum()).backward()
            distributed.average_gradients(trained)
            scaler.unscale_(optimiser)
            norm = clip_grad_norm_(trained, config.optimiser.clip_norm)
            # All values are read together, so that a GPU is waited for once.
            *numbers, length = torch.cat((values.detach(), norm.view(1))).tolist()
            named = dict(zip(losses, numbers, strict=True))
            _check_finite(named, length, batch, step, run, scaled=scaler.is_enabled())
            scaler.step(optimiser)
            scaler.update()
            optimiser.zero_grad(set_to_none=True)
            if average is not None:
                average.update_parameters(model)
            monitor.step(step, named, length, rate)

            if validate is not None and (step % run.validate_every == 0 or step == end):
                scores = validate(model if average is None else average.module)
                score = sum(scores.values()) / len(scores)
                monitor.validation(step, scores)
                if score > best:
                    best = score
                    which = "" if average is None else " averaged,"
                    notes = f"{config.stage} stage, step {step},{which} quality {score:.4f}"
                    best_model = model if average is None else average.module
                    save_weights(run.output / BEST, best_model, model_config, notes=notes)
            now = time.monotonic()
            late = run.max_minutes is not None and now - run.began > 60 * run.max_minutes
            if distributed.any_process(stop.requested or late, run.device):
                break
            if now - saved_at > 60 * run.checkpoint_minutes:
                save(step)
                saved_at = now
        if step > start:
            save(step)
    return step >= end


def make_objective(
    model: VideoNetwork, model_config: ModelConfig, config: TrainingConfig, device: torch.device
) -> FrameObjective | VideoObjective:
    """Return the loss of a stage."""
    dtype = _DTYPES[config.precision]
    autocast = partial(torch.autocast, device.type, dtype=dtype, enabled=dtype is not None)
    kind = mask_kind(model_config)
    if config.stage == "frame":
        return FrameObjective(model, kind, config.losses, autocast)
    return VideoObjective(
        model,
        kind,
        config.clips_of(model_config),
        config.losses,
        autocast,
        train_detector=config.stage == "joint",
        dwell=config.dwell,
    )


def check_same_run(
    saved: Checkpoint, model_config: ModelConfig, config: TrainingConfig, origin: dict[str, Any], path: Path
) -> None:
    """Refuse a checkpoint that belongs to a run with other options (see `train`).

    Raises:
        CheckpointError: the options differ.
    """
    # Checkpoints of older versions mention neither averaged weights nor clips that are run again.
    changed = differences(asdict(config), {"average": 0.0, "dwell": 0, **saved.training_config})
    changed += differences(config_to_dict(model_config), current_fields(saved.model_config))
    if saved.origin is not None:
        changed += differences(origin, saved.origin)
    elif distributed.rank() == 0:
        text = "of an earlier version, which did not note its data; make sure that they are the same"
        tqdm.write(f"{path}: {text}", file=sys.stderr)
    if changed:
        raise CheckpointError(
            f"{path}: belongs to a run with another {', '.join(changed)}; give the same options, or another --output"
        )


def put_channels_last(model: nn.Module) -> None:
    """Store the kernels of convolutions with channels last, in place; they are fastest so."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def seed_step(seed: int, step: int) -> None:
    """Derive random numbers from the step, so that a resumed run draws the same."""
    sequence = np.random.SeedSequence((seed, step, distributed.rank()))
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def _check_finite(losses: Mapping[str, float], norm: float, batch: Batch, step: int, run: Run, *, scaled: bool) -> None:
    """Stop before a NaN or infinity reaches the weights. The scaler of fp16 skips infinite gradients by itself."""
    bad = [name for name, loss in losses.items() if not math.isfinite(loss)]
    if not bad and (scaled or math.isfinite(norm)):
        return
    file = run.output / f"bad_batch_{step}_{distributed.rank()}.pt"
    content = {"images": batch.images, "packed_masks": batch.packed, "classes": torch.from_numpy(batch.classes)}
    with replacing(file) as temporary:
        torch.save({"step": step, "losses": dict(losses), **content}, temporary)
    raise A2VISError(
        f"step {step}: {', '.join(bad) or 'the gradient'} is not finite; the batch is in {file}, the weights before "
        f"it in the last checkpoint; look at the batch, lower --learning-rate or use --precision bf16 or fp32"
    )
