"""Running and scoring many bags, each into its own folder, so that an interrupted run can be resumed."""

import hashlib
import json
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from a2vis_model import A2VISError
from a2vis_model.errors import printable
from a2vis_model.evaluation.provenance import data_hash
from a2vis_model.files.atomic import write_text
from a2vis_model.machine import code_hash, file_hash
from a2vis_model.shipped import find_weights
from a2vis_model.workers import Workers

from ..stream.loading import load_model
from ..stream.models import LoadedModel
from .replay import ReplayOptions, replay_bag, scores_text
from .scoring import METRICS, score_together
from .space_scoring import SPACE_SAMPLES, score_space_together

_DONE = "done.json"
"""File in the folder of a bag that is done: what it was done with, and what was said."""


@dataclass(frozen=True)
class _Fleet:
    """Bags to run: everything that a worker needs."""

    root: str
    output: str
    options: ReplayOptions
    fingerprint: str
    """Hash of all that changes the results but for the bag."""

    def folder(self, bag: str) -> Path:
        """Return the folder that receives a bag's results."""
        return Path(self.output) / bag

    def fingerprint_of(self, bag: str) -> str:
        return hashlib.sha256(
            f"{self.fingerprint} {data_hash([Path(self.root) / bag], times=True)}".encode()
        ).hexdigest()

    def is_done(self, bag: str) -> bool:
        """Return whether a bag has been run.

        Raises:
            A2VISError: its folder is of another run, or of none.
        """
        folder = self.folder(bag)
        if not folder.exists():
            return False
        try:
            done = json.loads((folder / _DONE).read_bytes())["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            done = None
        if done != self.fingerprint_of(bag):
            raise A2VISError(
                f"{folder} was written for another bag, or with other weights, parameters or code; choose another "
                "output"
            )
        return True

    def prepare(self) -> Callable[[str], tuple[str, list[str]]]:
        """Load the model of a worker and return what runs a bag."""
        return partial(self.run, load_model(self.options.settings.model, _ignore))

    def run(self, model: LoadedModel, bag: str) -> tuple[str, list[str]]:
        """Run a bag; return the error if that is impossible, and what was said before it.

        Raises:
            A2VISError: the bag has failed, in strict mode.
        """
        said: list[str] = []
        folder = self.folder(bag)
        # The folder appears when all is in it, so that a worker that is lost leaves nothing that looks like a result.
        part = folder.with_name(f"{_part_of(folder)}{secrets.token_hex(8)}")
        part.mkdir(parents=True)
        try:
            replay_bag(Path(self.root) / bag, part, self.options, model, say=said.append, warn=said.append)
            # A bag whose recorder was killed has been repaired by now, and is another than before.
            done = {
                "fingerprint": self.fingerprint_of(bag),
                "said": [line.replace(str(part), str(folder)) for line in said],
            }
            write_text(part / _DONE, json.dumps(done, indent=1) + "\n")
            part.rename(folder)
        except A2VISError as error:
            if self.options.strict:
                raise A2VISError(f"{bag}: {error}") from error
            return str(error), said
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return "", []


def bags_below(path: str | Path) -> list[str]:
    """Return the bags in a folder that is none itself, as sorted paths below it; nothing for a bag or a file."""
    root = Path(path)
    folders = {file.parent for pattern in ("metadata.yaml", "*.mcap", "*.db3") for file in root.rglob(pattern)}
    return [] if root in folders else sorted(folder.relative_to(root).as_posix() for folder in folders)


def replay_fleet(
    root: str, bags: Sequence[str], output: Path, options: ReplayOptions, *, jobs: int, workers: Workers
) -> int:
    """Run the bags that are not done yet, score all that hold ground truth together, and print the tables.

    Every bag is run with one thread and as the first of its worker, so that the results are the same whatever number of
    processes and machines share the bags.

    Args:
        root: the folder of the bags.
        bags: paths of bags below it.
        output: receives a folder per bag, and the files of `score` and of `score_space` for all bags together.
        options: how bags are run.
        jobs: number of processes on this machine that score.
        workers: share the bags.

    Returns:
        The exit status: 1 if a bag could not be run, and is left out.

    Raises:
        A2VISError: the model cannot be loaded, the output is of another run, or nothing could be run.
    """
    if output.resolve().is_relative_to(Path(root).resolve()):
        raise A2VISError(f"the output {output} is inside {root}, the folder of the bags; choose one outside it")
    settings = options.settings
    threads = {} if settings["threads"] else {"threads": 1}
    options = replace(options, settings=type(settings).check({**settings.values, **threads}))
    # What is chosen here is used everywhere; and an engine is built once, and an obstacle told before any work is done.
    model = load_model(options.settings.model, print)
    print(printable(f"running {model.name} from {model.source} on {model.backend}"))
    backend, _, precision = model.backend.partition("/")[0].partition("-")
    chosen = {**options.settings.values, "backend": backend, "precision": precision or "fp32"}
    options = replace(options, settings=type(settings).check(chosen))
    fleet = _Fleet(root, str(output), options, _fingerprint(options, model))
    del model
    missing = [bag for bag in bags if not fleet.is_done(bag)]
    failed = []
    with tqdm(total=len(bags), initial=len(bags) - len(missing), unit="bag") as bar:
        for bag, (error, said) in zip(missing, workers.run(fleet.prepare, missing), strict=True):
            if error:
                failed.append(bag)
                for line in said:
                    bar.write(printable(f"{bag}: {line}"), file=sys.stdout)
                bar.write(printable(f"{bag}: {error}; it is left out"), file=sys.stderr)
            elif not (fleet.folder(bag) / _DONE).is_file():
                raise A2VISError(
                    f"{fleet.folder(bag)}: a worker on another machine has written it, but it is not here; choose an "
                    "output that all machines of the cluster share"
                )
            else:
                for line in json.loads((fleet.folder(bag) / _DONE).read_bytes())["said"]:
                    bar.write(printable(f"{bag}: {line}"), file=sys.stdout)
            bar.update()
    for bag in missing:
        _remove_parts(fleet.folder(bag))  # Workers that were lost on the way left some.
    if len(failed) == len(bags):
        raise A2VISError(f"none of {len(bags)} bags below {root} could be run")
    print(f"{len(missing) - len(failed)} bags run, {len(bags) - len(missing)} done before, {len(failed)} left out")
    scored = [fleet.folder(bag) for bag in bags if bag not in failed and (fleet.folder(bag) / METRICS).is_file()]
    if scored:
        print(scores_text(*score_together(scored, output, jobs=jobs)), end="")
    in_space = [folder for folder in scored if (folder / SPACE_SAMPLES).is_file()]
    if in_space:
        print(f"\npositions in space, of {len(in_space)} bags\n\n{score_space_together(in_space, output)}")
    return 1 if failed else 0


def _fingerprint(options: ReplayOptions, model: LoadedModel) -> str:
    what = {
        "code": code_hash(Path(__file__).parents[1]),
        "weights": file_hash(find_weights(model.source)),
        "parameters": {name: value for name, value in options.settings.values.items() if name != "engine_cache"},
        "computed by": model.backend,
        "topic": options.topic,
        "storage": options.storage,
        "localizer": asdict(options.localizer),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _part_of(folder: Path) -> str:
    return f".{folder.name[:50]}.part-"


def _remove_parts(folder: Path) -> None:
    """Remove what killed workers have left of a bag."""
    for part in folder.parent.glob(f"{_part_of(folder)}*") if folder.parent.is_dir() else ():
        shutil.rmtree(part, ignore_errors=True)


def _ignore(_text: str) -> None:
    """Say nothing: each worker would say the same."""
