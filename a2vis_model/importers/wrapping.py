"""Finding the weights inside what training programs wrap around them: containers, averages, and prefixes of names."""

from collections.abc import Mapping
from typing import Any

_CONTAINERS = ("model", "state_dict", "model_state_dict", "module")
_AVERAGES = (
    "model_ema",
    "ema_model",
    "ema",
    "ema_state",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema_state_dict",
)
"""Keys of exponential moving averages of the weights, which such a training evaluates with."""
_COMPILED = "_orig_mod."
"""Prefix that torch.compile inserts anywhere in a name."""
_PREFIXES = ("module.", "model.")
"""Prefixes that DataParallel, Lightning and others put in front of the names of a network."""
_COUNTERS = frozenset({"n_averaged", "steps", "num_updates", "decay"})
"""Entries without a prefix that averages hold beside weights."""
_SWAPPED, _SWAPPED_COUNTER = "ema_state_dict", "steps"
"""Where MMEngine's EMAHook keeps the raw weights, and the entry by which its averages are known.

When it saves, it swaps both: `state_dict` has the averages, as its documentation says."""
_SWAPPED_PREFIX = "ema_"
"""Prefix of names with underscores for dots, under which the EMAHook of MMCV 1 and MMDetection 2 keeps raw weights.

It swaps, too, at the end of an epoch, before a checkpoint is saved; not before one that is saved after an iteration."""
_DEPTH = 4  # Largest depth of wrappers; a file may contain itself.


def unwrap(content: Any) -> tuple[Any, list[str]]:
    """Return the innermost mapping of names to values, and a text for each wrapper removed and each choice made.

    Where averaged weights lie beside raw ones, the averaged are taken, wherever the program keeps them; of the raw ones
    only what has no average, such as the statistics of batch norm. Content that is not a mapping is returned unchanged.
    """
    notes: list[str] = []
    return _unwrapped(content, notes, _DEPTH), list(dict.fromkeys(notes))


def _unwrapped(content: Any, notes: list[str], depth: int) -> Any:
    if not isinstance(content, Mapping) or not depth:
        return content
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    average = next((key for key in _AVERAGES if inner.get(key)), None)
    container = next((key for key in _CONTAINERS if key in inner), None)
    raw = None if container is None else _unwrapped(inner[container], notes, depth - 1)
    if average is None:
        return _bare(content, notes) if raw is None else raw
    if average == _SWAPPED and _SWAPPED_COUNTER in inner[average] and raw is not None:
        notes.append(f"the averaged weights under {container!r} are taken; MMEngine saves the raw ones as {average!r}")
        return raw
    notes.append(f"the averaged weights under {average!r} are taken, and not the raw ones beside them")
    averaged = _unwrapped(inner[average], notes, depth - 1)
    return _completed(averaged, raw, notes) if isinstance(raw, Mapping) else averaged


def _bare(content: Mapping[Any, Any], notes: list[str]) -> Mapping[Any, Any]:
    """Return the mapping without prefixes, and without raw weights where names show that there are averages."""
    if not all(isinstance(name, str) for name in content):
        return content
    average = next((f"{key}." for key in _AVERAGES if any(name.startswith(f"{key}.") for name in content)), None)
    if average is None:
        return _without_prefixes(content, notes)
    begun = {name.removeprefix(average): value for name, value in content.items() if name.startswith(average)}
    averaged = _without_prefixes(begun, notes)
    raw = {name: value for name, value in content.items() if not name.startswith(average)}
    if not raw.keys() - _COUNTERS:
        return averaged
    notes.append(f"the averaged weights under {average!r} are taken, and not the raw ones beside them")
    return _completed(averaged, _without_prefixes(raw, notes), notes)


def _without_prefixes(content: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    bare = {name.replace(_COMPILED, ""): value for name, value in content.items()}
    if len(bare) < len(content):
        return content
    if bare.keys() != content.keys():
        notes.append(f"the names hold {_COMPILED!r}, which is removed")
    for _ in range(_DEPTH):
        prefix = next((prefix for prefix in _PREFIXES if _most_begin(bare, prefix)), None)
        if prefix is None:
            break
        stripped = {name.removeprefix(prefix): value for name, value in bare.items()}
        if len(stripped) < len(bare):
            notes.append(f"most names begin with {prefix!r}, which stays: some are also there without it")
            break
        rest = sorted(name for name in bare.keys() - _COUNTERS if not name.startswith(prefix))
        if rest:
            named = ", ".join(rest[:3]) + (", ..." if len(rest) > 3 else "")
            notes.append(f"most names begin with {prefix!r}, which is removed; {len(rest)} do not ({named})")
        else:
            notes.append(f"the names begin with {prefix!r}, which is removed")
        bare = stripped
    return _without_swapped(bare, notes)


def _most_begin(content: Mapping[str, Any], prefix: str) -> bool:
    """Whether at least half of the names begin so, as a network's do where losses and the like stand beside it."""
    names = content.keys() - _COUNTERS
    count = sum(name.startswith(prefix) and name != prefix for name in names)
    return count > 0 and 2 * count >= len(names)


def _without_swapped(content: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    """Leave out the raw weights that MMCV's hook has kept beside the averaged ones."""
    swapped = {f"{_SWAPPED_PREFIX}{name.replace('.', '_')}" for name in content if "." in name} & content.keys()
    if not swapped:
        return content
    notes.append(
        f"the averaged weights are taken, and not the {len(swapped)} raw ones that are kept as {min(swapped)!r} and so "
        "on: MMCV swaps them at the end of an epoch. If the file was saved after an iteration instead, it is the other "
        "way round: give one of an epoch's end"
    )
    return {name: value for name, value in content.items() if name not in swapped}


def _completed(averaged: Mapping[Any, Any], raw: Mapping[Any, Any], notes: list[str]) -> Mapping[Any, Any]:
    """Complete the averaged weights with what only the raw ones have, unless they belong to another network."""
    without = raw.keys() - averaged.keys() - _COUNTERS
    if not without or not averaged.keys() & raw.keys():
        return averaged
    notes.append(f"{len(without)} of the weights have no average and are taken raw ({min(map(str, without))}, ...)")
    return {**averaged, **{name: raw[name] for name in without}}
