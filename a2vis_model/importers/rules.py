"""Rules that rename, split and drop the tensors of a foreign state dict, and how one is recognised."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from .pixels import Pixels

_LEAF = r"(?P<leaf>weight|bias|running_mean|running_var)"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What becomes of the tensors whose whole name matches a pattern.

    Attributes:
        source: regular expression of the foreign name.
        targets: our names as templates over the match; none drops the tensor.
        split: the tensor is cut along its first dimension into equal parts, one per target; otherwise every
            target gets all of it.
        reason: reason why it is dropped.
    """

    source: str
    targets: tuple[str, ...] = ()
    split: bool = False
    reason: str = ""


def tensor(source: str, *targets: str) -> Rule:
    """Rename single tensors."""
    return Rule(source=source, targets=targets)


def module(source: str, *targets: str) -> Rule:
    """Rename the weight, bias and statistics of a layer."""
    return Rule(source=rf"{source}\.{_LEAF}", targets=tuple(rf"{target}.\g<leaf>" for target in targets))


def fused(source: str, target: str) -> Rule:
    """Split a projection to queries, keys and values; `source` is its name up to "weight" or "bias"."""
    return Rule(source=source + _LEAF, targets=tuple(rf"{target}.{part}.\g<leaf>" for part in "qkv"), split=True)


def dropped(source: str, reason: str) -> Rule:
    """Drop tensors that have no counterpart here."""
    return Rule(source=source, reason=reason)


COUNTER = dropped(r".*\.num_batches_tracked", "counts updates of statistics that are frozen here")
HEAD = "classification head"
"""Why the tensors of a classifier are dropped."""


def conv_norm(conv: str, norm: str, target: str) -> tuple[Rule, Rule]:
    """Rename a convolution and its norm."""
    return module(conv, f"{target}.conv"), module(norm, f"{target}.norm")


def block_names(depths: Sequence[int]) -> list[str]:
    """Our names of blocks that others number from first to last."""
    return [f"stages.{stage}.{block}" for stage, depth in enumerate(depths) for block in range(depth)]


def under(rules: Iterable[Rule], source: str, target: str) -> tuple[Rule, ...]:
    """Return the same rules for a part of a larger network.

    Args:
        rules: rules with names relative to the part.
        source: prefix of the foreign names, a regular expression without capturing groups.
        target: prefix of our names.
    """
    return tuple(
        replace(rule, source=source + rule.source, targets=tuple(target + name for name in rule.targets))
        for rule in rules
    )


@dataclass(frozen=True, kw_only=True)
class Format:
    """A naming of weights.

    Attributes:
        name: what it is, for people.
        marks: regular expressions, each of which matches the whole of some key.
        absent: regular expression that matches no key, if given.
        rules: to our names, as a video network has them.
        pixels: pixels that the weights were trained on, where the file does not say; None where they are ours.
    """

    name: str
    marks: tuple[str, ...]
    absent: str = ""
    rules: tuple[Rule, ...]
    pixels: Pixels | None = None

    def fits(self, keys: Collection[str]) -> bool:
        """Whether a state dict with these keys is of this format."""

        def occurs(pattern: str) -> bool:
            return any(re.fullmatch(pattern, key) for key in keys)

        return all(map(occurs, self.marks)) and not (self.absent and occurs(self.absent))


@dataclass
class Translation:
    """A foreign state dict in our names.

    Attributes:
        tensors: our name, with the foreign name and the tensor.
        skipped: foreign names without a counterpart here, and why.
    """

    tensors: dict[str, tuple[str, Tensor]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def translate(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> Translation:
    """Apply to each tensor the first rule that matches its name."""
    patterns = [(re.compile(rule.source), rule) for rule in rules]
    result = Translation()
    for name, value in state.items():
        matches = ((pattern.fullmatch(name), rule) for pattern, rule in patterns)
        match, rule = next(((m, r) for m, r in matches if m), (None, None))
        if match is None or rule is None:
            result.skipped.append((name, "no known part of the network"))
        elif not rule.targets:
            result.skipped.append((name, rule.reason))
        elif rule.split and (value.dim() == 0 or value.shape[0] % len(rule.targets)):
            result.skipped.append((name, f"shape {tuple(value.shape)} is not {len(rule.targets)} equal parts"))
        else:
            count = len(rule.targets)
            parts = value.chunk(count) if rule.split else (value,) * count
            for target, part in zip(rule.targets, parts, strict=True):
                result.tensors[match.expand(target)] = (name, part)
    return result
