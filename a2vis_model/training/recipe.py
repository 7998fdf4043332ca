"""Recipes: the consecutive training runs that produce a set of weights, as data."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any, NoReturn

from ..config import config_directory, read_yaml
from ..errors import ConfigError
from ..weights import check_recommended
from .loop import AVERAGE, BEST, LAST

RESULTS = {"last": LAST, "average": AVERAGE, "best": BEST}
"""Files of a finished stage, by their names in recipes."""
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class RecipeStage:
    """One stage of a recipe: a training run."""

    name: str
    """Name of the stage and of its folder."""
    options: Mapping[str, Any]
    """Options of `a2vis train`, with underscores in their names.

    `init` may be one of `RESULTS`, which stands for that file of the previous stage.
    """

    @property
    def follows(self) -> bool:
        """Whether the stage starts from the weights of the previous one."""
        init = self.options.get("init")
        return isinstance(init, str) and init in RESULTS


@dataclass(frozen=True)
class Calibration:
    """Data by which scores become probabilities (see `a2vis_model.calibration`)."""

    data: tuple[str, ...]
    """Data sets, in terms of the recipe's roots."""
    labels: str | None
    """Labels file of photographs."""

    def paths(self, roots: Mapping[str, str]) -> list[str]:
        """Return the data sets on this machine; missing roots stay as they are written."""
        return [Template(path).safe_substitute(roots) for path in self.data]


@dataclass(frozen=True)
class Recipe:
    """Stages that produce a set of weights."""

    name: str
    roots: Mapping[str, str]
    """Descriptions of the folders whose place differs between machines, by name; options refer to them as ${NAME}."""
    stages: tuple[RecipeStage, ...]
    ships: str
    """Key in `RESULTS` of the last stage's file that is the product of the recipe."""
    half: bool
    """Whether the product is stored in fp16."""
    mean_with: str | None = None
    """Stage of whose file of the same kind and the last stage's the product is the mean; None for no mean."""
    calibration: Calibration | None = None
    """The data by which the scores of the product are calibrated; None for none."""
    tracks: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of tracks that the product recommends (see `a2vis_model.weights.save_weights`)."""

    def changed(self, **options: Any) -> Recipe:
        """Return the recipe with these options of `a2vis train` in all stages, in place of what they say."""
        stages = [replace(stage, options={**stage.options, **options}) for stage in self.stages]
        return replace(self, stages=tuple(stages))


class OptionParser(argparse.ArgumentParser):
    """An argument parser for options from a file: errors are raised as ConfigError."""

    def error(self, message: str) -> NoReturn:
        """Raise the error.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(message)


def recipe_names() -> list[str]:
    """List the names of the recipes that come with the package."""
    return sorted(path.stem for path in config_directory("recipes").glob("*.yaml"))


def load_recipe(recipe: str) -> Recipe:
    """Read a recipe.

    Args:
        recipe: name from `recipe_names()`, or path of a YAML file.

    Raises:
        ConfigError: it is unknown, unreadable, or has unknown keys or unusable values; the options of its stages
            are checked by `stage_arguments`.
    """
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        if recipe not in recipe_names():
            raise ConfigError(f"unknown recipe {recipe!r}; choose one of {', '.join(recipe_names())}, or a YAML file")
        path = config_directory("recipes") / f"{recipe}.yaml"
    try:
        return _recipe(path.stem, read_yaml(path))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def _recipe(name: str, content: Mapping[str, Any]) -> Recipe:
    content = {"roots": {}, "common": {}, **content}
    _check_keys(content, "", "roots", "common", "stages", "ship")
    roots = _mapping(content["roots"], "roots")
    for root, text in roots.items():
        if not isinstance(root, str) or not isinstance(text, str) or not root.isidentifier():
            raise ConfigError(f"roots.{root}={text!r}; give a plain name, and in words what the folder is to hold")
    common = _mapping(content["common"], "common")
    if not isinstance(content["stages"], list) or not content["stages"]:
        raise ConfigError(f"stages={content['stages']!r}; expected a list of stages")
    stages: list[RecipeStage] = []
    for number, entry in enumerate(content["stages"], start=1):
        options = {**common, **_mapping(entry, f"stages, number {number}")}
        stage = RecipeStage(str(options.pop("name", "")), options)
        if not _FOLDER_NAME.fullmatch(stage.name) or stage.name in {other.name for other in stages}:
            raise ConfigError(f"stages, number {number}: name={stage.name!r}; give each stage a plain name of its own")
        if stage.follows:
            if not stages:
                raise ConfigError(f"stage {stage.name}: init={options['init']}; there is no stage before the first")
            _check_result(options["init"], stages[-1], f"stage {stage.name}: init")
        for word in _words(options):
            _check_roots(word, roots, f"stage {stage.name}")
        stages.append(stage)
    ship = {"mean_with": None, "calibrate": None, "tracks": {}, **_mapping(content["ship"], "ship")}
    _check_keys(ship, "ship.", "weights", "half", "mean_with", "calibrate", "tracks")
    if not isinstance(ship["half"], bool):
        raise ConfigError(f"ship.half={ship['half']!r}; expected true or false")
    calibration = None if ship["calibrate"] is None else _calibration(ship["calibrate"], roots)
    try:
        tracks = check_recommended(ship["tracks"])
    except ConfigError as error:
        raise ConfigError(f"ship.tracks: {error}") from error
    _check_result(ship["weights"], stages[-1], "ship.weights")
    mean_with = ship["mean_with"]
    if mean_with is not None:
        earlier = {stage.name: stage for stage in stages[:-1]}
        if mean_with not in earlier:
            raise ConfigError(f"ship.mean_with={mean_with!r}; give a stage before the last: {', '.join(earlier)}")
        _check_result(ship["weights"], earlier[mean_with], "ship.weights")
    return Recipe(name, roots, tuple(stages), ship["weights"], ship["half"], mean_with, calibration, tracks)


def _calibration(entry: object, roots: Mapping[str, str]) -> Calibration:
    content = {"labels": None, **_mapping(entry, "ship.calibrate")}
    _check_keys(content, "ship.calibrate.", "data", "labels")
    data, labels = content["data"], content["labels"]
    if not isinstance(data, list) or not data or not all(isinstance(path, str) for path in data):
        raise ConfigError(f"ship.calibrate.data={data!r}; expected a list of data sets")
    if labels is not None and not isinstance(labels, str):
        raise ConfigError(f"ship.calibrate.labels={labels!r}; expected the name or the path of a labels file")
    for path in data:
        _check_roots(path, roots, "ship.calibrate.data")
    return Calibration(tuple(data), labels)


def stage_arguments(recipe: Recipe, number: int, roots: Mapping[str, str], output: Path) -> list[str]:
    """Return the arguments of `a2vis train` that stand for a stage.

    Args:
        recipe: the recipe.
        number: number of the stage, from 0.
        roots: folder of each root on this machine; missing roots stay as they are written.
        output: folder of the recipe, with a folder in it for each stage.
    """
    stage = recipe.stages[number]
    options = dict(stage.options)
    if stage.follows:
        options["init"] = output / recipe.stages[number - 1].name / RESULTS[options["init"]]
    words: list[str] = []
    for key, value in options.items():
        if value is False:
            continue
        words.append(f"--{key.replace('_', '-')}")
        if value is not True:
            words += _words({key: value})
    words = [Template(word).safe_substitute(roots) for word in words]
    return [*words, "--output", str(output / stage.name)]


def parse_roots(given: Sequence[str], recipe: Recipe) -> dict[str, str]:
    """Parse `--root NAME=PATH` to folders by name.

    Raises:
        ConfigError: the recipe has no such root, or the path is not a folder.
    """
    roots = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or name not in recipe.roots:
            known = ", ".join(recipe.roots) or "none"
            raise ConfigError(f"--root {text}: give NAME=PATH; recipe {recipe.name} has the roots {known}")
        if not Path(path).is_dir():
            raise ConfigError(f"--root {text}: there is no such folder; it is to hold {recipe.roots[name]}")
        roots[name] = path
    return roots


def check_roots(roots: Mapping[str, str], recipe: Recipe) -> None:
    """Check that every root is given.

    Raises:
        ConfigError: a root is missing; the first one is named.
    """
    for name, text in recipe.roots.items():
        if name not in roots:
            raise ConfigError(f"recipe {recipe.name}: --root {name}=PATH is missing; it is to hold {text}")


def as_command(arguments: Sequence[str]) -> str:
    """Format a command for the shell; unknown roots become shell variables of their names."""
    return " ".join(f'"{word}"' if "${" in word else shlex.quote(word) for word in arguments)


def _words(options: Mapping[str, Any]) -> list[str]:
    """Return the values of options as command-line words; a list gives several words."""
    words = []
    for key, value in options.items():
        for entry in value if isinstance(value, list) else [value]:
            if entry is None or isinstance(entry, dict | list):
                raise ConfigError(f"{key}={value!r}; give a value, or a list of values")
            words.append(str(entry))
    return words


def _check_roots(word: str, roots: Mapping[str, str], where: str) -> None:
    try:
        Template(word).substitute(roots)
    except KeyError as error:
        known = ", ".join(roots) or "none"
        raise ConfigError(f"{where}: {word}: no root {error.args[0]!r}; there are {known}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: {word}: write a root as ${{NAME}}, and a dollar sign as $$") from error


def _check_result(result: object, stage: RecipeStage, where: str) -> None:
    if not isinstance(result, str) or result not in RESULTS:
        raise ConfigError(f"{where}={result!r}; choose one of {', '.join(RESULTS)}")
    needed = {"average": "average", "best": "validation"}.get(result)
    if needed is not None and not stage.options.get(needed):
        raise ConfigError(f"{where}={result}: stage {stage.name} has none, as it is without {needed}")


def _check_keys(content: Mapping[str, Any], where: str, *known: str) -> None:
    for key in content:
        if key not in known:
            raise ConfigError(f"unknown key {where}{key}; known are {', '.join(known)}")
    for key in known:
        if key not in content:
            raise ConfigError(f"key {where}{key} is missing")


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected keys and values, found {value!r}")
    return value
