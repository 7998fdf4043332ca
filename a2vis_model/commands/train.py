"""`a2vis train`: train a network in one session or in several."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from ..config import ModelConfig, change_config, load_config, parse_changes, preset_names, variant_names
from ..data.labels import LABELS_HELP, LabelRules
from ..data.problems import DataError
from ..devices import choose_device
from ..errors import A2VISError, ConfigError
from ..machine import cores, lacks_bf16
from ..modeling import VideoNetwork, build_model
from ..shipped import find_weights
from ..training import distributed
from ..training.allocator import keep_memory
from ..training.augmentation import Augmentation
from ..training.checkpoint import Checkpoint
from ..training.config import TrainingConfig, TrainingPrecision
from ..training.initialisation import initialise, warm_start
from ..training.loop import AVERAGE, BEST, CHECKPOINT, LAST, Run, Validate, check_same_run, train
from ..training.losses import PointSampling
from ..training.objectives import LossSettings
from ..training.optimisation import OptimiserSettings, Schedule, Stage
from ..training.recipe import (
    RESULTS,
    OptionParser,
    Recipe,
    as_command,
    check_roots,
    load_recipe,
    parse_roots,
    recipe_names,
    stage_arguments,
)
from ..training.sequences import SequenceDataset
from ..training.sources import Video, VideoSource, open_source
from ..training.validation import validate_frames, validate_videos
from ..training.value_checks import check_at_least
from . import calibrate, import_weights

# Mask2Former's learning rate for detectors, VITA's and GenVIS's for the other stages.
_LEARNING_RATES: dict[Stage, float] = {"frame": 1e-4, "video": 5e-5, "joint": 1e-4}
_OPTIMISER = OptimiserSettings()
_AUGMENTATION = Augmentation()
_VALIDATION_VIDEOS = 32
_REQUIRED = ("preset", "data", "stage", "steps", "output")
_SLOW_BF16 = (
    "--precision bf16: this processor has no instructions for it, and steps can take ten times as long as with "
    "--precision fp32, which may also be given for a recipe"
)
_MACHINE_OPTIONS = ("output", "resume", "max_minutes", "checkpoint_minutes", "device", "workers", "cache_gb")
"""Options that a recipe leaves to the command line; none of them changes the result of a run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument_group("recipe").add_argument
    add("--recipe", metavar="NAME", help=f"all stages of a set of weights: {', '.join(recipe_names())}, or a YAML file")
    add(
        "--root",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a folder that the recipe names lies here",
    )
    add("--list", action="store_true", help="print the recipe's stages as commands and do not train")
    _add_stage_arguments(parser)


def _add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare all options of a single run; a recipe's stages have the same options."""
    add = parser.add_argument_group("network").add_argument
    add("--preset", help=f"{', '.join(preset_names())}, or a YAML file")
    add("--variant", default="a2vis", help=f"one of {', '.join(variant_names())} (%(default)s)")
    add("--classes", metavar="A,B,...", help="class names, if not the preset's")
    add(
        "--set",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="other values than the preset's, such as samh.key_stride=8",
    )
    add(
        "--init",
        metavar="NAME|FILE",
        help="weights to start from: ours, by name or file, or whatever 'a2vis import-weights' takes",
    )
    add(
        "--warm-start",
        action="store_true",
        help="let the video part read masks and classes as the detector does, when --init comes from a frame stage",
    )
    add = parser.add_argument_group("data").add_argument
    add(
        "--data",
        nargs="+",
        metavar="PATH[=WEIGHT]",
        help="data sets, or render:aquarium, render:robot, render:mixed, composed:DIR for videos rendered on the "
        "fly; weights say how often each is drawn (1)",
    )
    add(
        "--validation",
        metavar="PATH",
        help=f"data set whose first {_VALIDATION_VIDEOS} videos decide which weights are best",
    )
    add(
        "--labels",
        metavar="FILE",
        help=f"{LABELS_HELP}, that says which classes are labelled in the pictures of JSON files and whether their "
        "masks are amodal; default: labels.yaml beside each, if there",
    )
    add("--validation-frames", type=int, default=36, help="frames of each of its videos (%(default)s)")
    add("--cache-gb", type=float, default=4.0, help="memory for decoded videos (%(default)s)")
    add("--workers", type=int, default=_default_workers(), help="loader processes (%(default)s)")
    add = parser.add_argument_group("method").add_argument
    add("--stage", choices=get_args(Stage), help="the detector, what follows it, or both at once")
    add("--steps", type=int, help="total number of optimisation steps")
    add("--batch", type=int, default=8, help="sequences per step (images in the frame stage) (%(default)s)")
    add("--clips", type=int, default=5, help="clips per sequence (%(default)s)")
    add("--dwell", type=int, default=0, help="most times that a clip is run again before the next (%(default)s)")
    add("--reach", type=int, default=24, help="frames between a sequence's middle and any other (%(default)s)")
    add(
        "--draws",
        choices=("even", "plain"),
        default="even",
        help="how a data set's videos are drawn: every class equally often, or every video (%(default)s)",
    )
    add(
        "--resized",
        type=float,
        default=_AUGMENTATION.resized,
        help="share of evenly drawn photographs that are scaled to bring an object, a small one if any, to medium size "
        "(%(default)s)",
    )
    add(
        "--copy-paste",
        type=float,
        default=_AUGMENTATION.copy_paste,
        help="share of photographs onto which objects of another one are pasted (%(default)s)",
    )
    add("--learning-rate", type=float, help="1e-4; in the video stage 5e-5")
    add("--backbone-factor", type=float, default=_OPTIMISER.backbone_factor, help="on its learning rate (%(default)s)")
    add("--schedule", choices=get_args(Schedule), default=_OPTIMISER.schedule, help="(%(default)s)")
    add("--warmup", type=int, default=_OPTIMISER.warmup, help="steps in which the learning rate rises (%(default)s)")
    add("--points", type=int, default=PointSampling().points, help="points per mask and frame (%(default)s)")
    add("--precision", choices=get_args(TrainingPrecision), help="fp32; of a recipe, as its stages say")
    add("--average", type=float, default=0.0, help="decay of averaged weights, such as 0.998; 0 for none (%(default)s)")
    add("--seed", type=int, default=0, help="(%(default)s)")
    add = parser.add_argument_group("run").add_argument
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"folder for {CHECKPOINT}, {LAST}, {AVERAGE} and {BEST}; of a recipe (runs/NAME), for those of its stages",
    )
    add("--resume", action="store_true", help="resume the run in --output, if there is one; a recipe always does")
    add("--stop-at", type=int, metavar="STEP", help="step to end at, before --steps, which the schedule uses")
    add("--max-minutes", type=float, help="stop after this time; continue with --resume")
    add("--checkpoint-minutes", type=float, default=10.0, help="time between checkpoints (%(default)s)")
    add("--validate-every", type=int, default=1000, help="steps (%(default)s)")
    add("--device", default="auto", help="auto, cpu or cuda (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train; return 0 when all steps are done, 3 when the run stopped earlier and can be resumed."""
    began = time.monotonic()
    if args.recipe is not None:
        recipe = load_recipe(args.recipe)
        if args.precision is not None:
            recipe = recipe.changed(precision=args.precision)
        _check_machine_options(args)
        output = args.output or Path("runs") / recipe.name
        if args.list:
            print(_listing(recipe, parse_roots(args.root, recipe), output))
            return 0
    elif args.root or args.list:
        raise ConfigError(f"{'--root' if args.root else '--list'} goes with --recipe; name one of {_names()}")
    else:
        _check_complete(args)
    device = _device(args.device)
    if device.type == "cpu":
        keep_memory()
    torch.set_flush_denormal(True)  # Denormal numbers are too small to matter, and very slow on a CPU.
    torch.set_float32_matmul_precision("high")  # TensorFloat-32 is used where a GPU has it.
    with distributed.process_group(device):
        if args.recipe is None:
            finished, result = _train(args, device, began), args.output / LAST
        else:
            finished, result = _follow(recipe, args, output, device, began), output / f"{recipe.name}.safetensors"
        if distributed.rank() == 0:
            again = "the same command" if args.recipe is not None else "the same command with --resume"
            print(f"done: {result}" if finished else f"stopped; continue with {again}")
        # `torchrun` treats any status other than 0 as a failure.
        return 0 if finished or distributed.world_size() > 1 else 3


def _train(args: argparse.Namespace, device: torch.device, began: float) -> bool:
    """Train one run; return whether it is finished."""
    session = _session(args, device, began)
    model_config = _model_config(args)
    config = training_config(args)
    if config.batch % distributed.world_size():
        raise ConfigError(f"--batch {config.batch}: choose a multiple of the {distributed.world_size()} processes")
    if config.precision == "bf16" and device.type == "cpu" and lacks_bf16() and distributed.rank() == 0:
        print(f"a2vis train: {_SLOW_BF16}", file=sys.stderr, flush=True)
    torch.manual_seed(config.seed)
    model = build_model(model_config)
    if not (args.resume and (args.output / CHECKPOINT).exists()):
        _start(model, args)
    data = _open_data(args, model_config, config)
    args.output.mkdir(parents=True, exist_ok=True)
    validate = _validation(args, model_config, config)
    return train(model, model_config, config, data, validate, session, origin=_origin(args), resume=args.resume)


def _session(args: argparse.Namespace, device: torch.device, began: float) -> Run:
    check_at_least(0, args, "cache_gb")
    check_at_least(1, args, "validation_frames")
    return Run(
        output=args.output,
        device=device,
        workers=args.workers,
        max_minutes=args.max_minutes,
        began=began,
        checkpoint_minutes=args.checkpoint_minutes,
        validate_every=args.validate_every,
        stop_at=args.stop_at,
    )


def _follow(recipe: Recipe, args: argparse.Namespace, output: Path, device: torch.device, began: float) -> bool:
    """Train the unfinished stages of a recipe, each as a run of its own; return whether all are finished."""
    roots = parse_roots(args.root, recipe)
    check_roots(roots, recipe)
    runs = [_stage_run(recipe, number, roots, output, args) for number in range(len(recipe.stages))]
    for stage, stage_args in zip(recipe.stages, runs, strict=True):
        _session(stage_args, device, began)
        _check_files(stage_args, init=not stage.follows)
    if recipe.calibration is not None:
        _check_exist(recipe.calibration.paths(roots))
    for number, (stage, stage_args) in enumerate(zip(recipe.stages, runs, strict=True), start=1):
        done = _is_done(stage_args)
        if distributed.rank() == 0:
            print(f"stage {number} of {len(runs)}, {stage.name}: {'done before' if done else 'begins'}", flush=True)
        # All processes agree: none begins a stage before the files of the previous one are written.
        if distributed.any_process(not (done or _train(stage_args, device, began)), device):
            return False
    if distributed.rank() == 0:
        _ship(recipe, roots, output, device)
    return True


def _ship(recipe: Recipe, roots: dict[str, str], output: Path, device: torch.device) -> None:
    """Make the product of a recipe whose stages are finished, by the commands that `--list` prints."""
    modules = {"import-weights": import_weights, "calibrate": calibrate}
    for name, *words in _shipping(recipe, roots, output):
        parser = OptionParser(add_help=False)
        modules[name].add_arguments(parser)
        here = ["--strict", "--quiet", "--device", device.type] if name == "calibrate" else []
        modules[name].run(parser.parse_args([*words, *here]))


def _shipping(recipe: Recipe, roots: dict[str, str], output: Path) -> list[list[str]]:
    """Return the commands that make a recipe's product of its finished stages."""
    file, target = RESULTS[recipe.ships], output / f"{recipe.name}.safetensors"
    source = str(output / recipe.stages[-1].name / file)
    mean = [] if recipe.mean_with is None else ["--mean-with", str(output / recipe.mean_with / file)]
    stored = ["--half"] if recipe.half else []
    for threshold, value in recipe.tracks.items():
        stored += [f"--{threshold.replace('_', '-')}", f"{value:g}"]
    stored += ["--output", str(target)]
    if recipe.calibration is None:
        return [["import-weights", source, *mean, *stored]]
    commands = []
    if mean:
        commands.append(["import-weights", source, *mean, "--output", str(output / "mean.safetensors")])
        source = str(output / "mean.safetensors")
    labels = [] if recipe.calibration.labels is None else ["--labels", recipe.calibration.labels]
    data = recipe.calibration.paths(roots)
    return [*commands, ["calibrate", "--weights", source, "--data", *data, *labels, *stored]]


def _stage_run(
    recipe: Recipe, number: int, roots: dict[str, str], output: Path, machine: argparse.Namespace
) -> argparse.Namespace:
    """Return the arguments of a stage, checked as far as possible before the stage begins."""
    stage = recipe.stages[number]
    parser = OptionParser(add_help=False, allow_abbrev=False)
    _add_stage_arguments(parser)
    try:
        known = vars(parser.parse_args([])).keys() - set(_MACHINE_OPTIONS)
        for key in stage.options:
            if key not in known:
                raise ConfigError(f"unknown key {key}; known are {', '.join(sorted(known))}")
        args = parser.parse_args(stage_arguments(recipe, number, roots, output))
        _check_complete(args)
        training_config(args)
        _model_config(args)
    except ConfigError as error:
        raise ConfigError(f"recipe {recipe.name}, stage {stage.name}: {error}") from error
    for name in _MACHINE_OPTIONS:
        if name != "output":
            setattr(args, name, getattr(machine, name))
    args.resume = True
    return args


def _check_files(args: argparse.Namespace, *, init: bool) -> None:
    """Check at the start that the data and, if `init`, the initial weights exist.

    Raises:
        A2VISError: one of them is missing.
    """
    if init and args.init is not None:
        find_weights(args.init)
    data = [text.rpartition("=")[0] or text for text in args.data]
    # Data that are generated during training have a colon after their kind.
    _check_exist([text for text in (*data, args.validation) if text is not None and ":" not in text])


def _check_exist(paths: Sequence[str]) -> None:
    for path in paths:
        if not Path(path).exists():
            raise ConfigError(f"{path}: no such file or folder; is it where --root says?")


def _is_done(args: argparse.Namespace) -> bool:
    """Return whether a run is finished; a run with other options is refused."""
    path = args.output / CHECKPOINT
    if not path.exists():
        return False
    saved = Checkpoint.load(path)
    check_same_run(saved, _model_config(args), training_config(args), _origin(args), path)
    return saved.step >= min(args.steps, args.stop_at or args.steps)


def _listing(recipe: Recipe, roots: dict[str, str], output: Path) -> str:
    """Return a recipe as the commands that it stands for."""
    count = range(len(recipe.stages))
    lines = [as_command(["a2vis", "train", *stage_arguments(recipe, number, roots, output)]) for number in count]
    lines += [as_command(["a2vis", *words]) for words in _shipping(recipe, roots, output)]
    return "\n".join(lines)


def _check_machine_options(args: argparse.Namespace) -> None:
    """Refuse options that the recipe decides.

    Raises:
        ConfigError: an option is given that the recipe decides.
    """
    parser = argparse.ArgumentParser()
    _add_stage_arguments(parser)
    for name, default in vars(parser.parse_args([])).items():
        if name not in (*_MACHINE_OPTIONS, "precision") and getattr(args, name) != default:
            raise ConfigError(f"--{name.replace('_', '-')}: recipes set it for each stage; copy one and change it")


def _check_complete(args: argparse.Namespace) -> None:
    """Check that no option is missing.

    Raises:
        ConfigError: an option is missing; the first one is named.
    """
    for name in _REQUIRED:
        if getattr(args, name) is None:
            raise ConfigError(f"--{name} is missing; give it, or one of the recipes: --recipe {_names()}")


def _names() -> str:
    return ", ".join(recipe_names())


def _model_config(args: argparse.Namespace) -> ModelConfig:
    config = load_config(args.preset, args.variant, **_overrides(args))
    return change_config(config, parse_changes(args.set or ()))


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """Return what a resumed run must have in common with its checkpoint, besides its configurations."""
    # Only names are compared: on another machine the same data may lie elsewhere.
    return {
        "data": [Path(text).name for text in args.data],
        "validation": args.validation and Path(args.validation).name,
        "validation_frames": args.validation_frames,
        "labels": args.labels and [dict(rule) for _, rule in LabelRules.read(args.labels).rules],
    }


def training_config(args: argparse.Namespace) -> TrainingConfig:
    """Return the training configuration that the arguments describe."""
    rate = _LEARNING_RATES[args.stage] if args.learning_rate is None else args.learning_rate
    return TrainingConfig(
        stage=args.stage,
        steps=args.steps,
        batch=args.batch,
        clips=args.clips,
        dwell=args.dwell,
        reach=args.reach,
        even_draws=args.draws == "even",
        seed=args.seed,
        precision=args.precision or "fp32",
        average=args.average,
        optimiser=OptimiserSettings(
            learning_rate=rate,
            backbone_factor=args.backbone_factor,
            schedule=args.schedule,
            warmup=args.warmup,
        ),
        augmentation=replace(_AUGMENTATION, resized=args.resized, copy_paste=args.copy_paste),
        losses=LossSettings(sampling=replace(PointSampling(), points=args.points)),
    )


def _start(model: VideoNetwork, args: argparse.Namespace) -> None:
    if args.init is not None:
        report = initialise(model, args.init)
        if distributed.rank() == 0:
            print(report)
    if args.warm_start:
        warm_start(model)


def _open_data(args: argparse.Namespace, model: ModelConfig, config: TrainingConfig) -> SequenceDataset:
    # Rendered videos are as long as sequences reach.
    length = 1 if config.stage == "frame" else 2 * config.reach + 1
    sources, weights = [], []
    for text in args.data:
        path, equals, weight = text.rpartition("=")
        weights.append(_weight(text, weight) if equals else 1.0)
        gigabytes = args.cache_gb / len(args.data)
        sources.append(_open(path if equals else text, args, model, config, length, gigabytes))
    wants_amodal = model.supervision == "amodal" or (model.supervision == "both" and config.stage != "frame")
    if wants_amodal and not any(source.has_amodal for source in sources):
        raise A2VISError(
            f"--data {' '.join(args.data)}: these data have no amodal masks; add data that have, such as "
            "rendered videos, or choose a variant of visible masks, such as genvis-online"
        )
    return SequenceDataset(
        sources=sources,
        weights=weights,
        frames=config.frames_of(model),
        reach=config.reach,
        height=model.input_height,
        width=model.input_width,
        augmentation=config.augmentation,
        seed=config.seed,
        even_draws=config.even_draws,
    )


def _open(
    text: str,
    args: argparse.Namespace,
    model: ModelConfig,
    config: TrainingConfig,
    length: int,
    gigabytes: float,
) -> VideoSource:
    source = open_source(text, model.classes, frames=length, seed=config.seed, gigabytes=gigabytes, labels=args.labels)
    if not len(source):
        raise A2VISError(f"{text}: holds no videos; run 'a2vis check-data' on it")
    return source


def _validation(args: argparse.Namespace, model: ModelConfig, config: TrainingConfig) -> Validate | None:
    if args.validation is None or distributed.rank():
        return None
    source = _open(args.validation, args, model, config, args.validation_frames, 0.0)
    videos: list[Video] = []
    for index in range(min(len(source), _VALIDATION_VIDEOS)):
        with suppress(DataError):  # The data set logs the problem and leaves the video out.
            videos.append(source[index])
    if not videos:
        raise A2VISError(f"--validation {args.validation}: no video can be used; run 'a2vis check-data' on it")
    frames = args.validation_frames

    def validate(network: VideoNetwork) -> dict[str, float]:
        measure = validate_frames if config.stage == "frame" else validate_videos
        return dict(measure(network, model, videos, frames=frames))

    return validate


def _weight(text: str, weight: str) -> float:
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise A2VISError(f"--data {text}: {weight!r} is not a weight; give a number above 0, such as 0.25")
    return value


def _overrides(args: argparse.Namespace) -> dict[str, Sequence[str]]:
    return {} if args.classes is None else {"classes": args.classes.split(",")}


def _device(name: str) -> torch.device:
    """The device of `--device`; of several processes on a machine each has its own GPU."""
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(distributed.local_rank())
        return torch.device("cuda", distributed.local_rank())
    return device


def _default_workers() -> int:
    return min(cores(), 8)
