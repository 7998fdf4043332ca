"""Model configurations: typed, checked, read from the YAML presets and variants.

A preset fixes the sizes of a network, a variant changes how it works (the paper's ablations and baselines).
Sizes live here and nowhere else; the parts of the network take them as arguments.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from .errors import ConfigError

Association = Literal["global", "memory", "offline", "joint", "cosine", "index"]
Supervision = Literal["visible", "amodal", "both"]

_VARIANTS_FILE = "variants.yaml"

# Limits that no network comes near, so that a broken or malicious file is refused before memory is allocated for it.
_LAYERS = 64
_CHANNELS = 2048
_HIDDEN = 16_384
_QUERIES = 4096
_FRAMES = 1024
_PIXELS = 4096
_CLASSES = 10_000
_STAGES = 4  # Number of stages of a backbone.
_SAMH_STRIDES = (4, 8)


def _check_ranges(config: object, where: str = "", **ranges: tuple[int, int]) -> None:
    """Check that fields, or each of their entries, are within their ranges, ends included.

    Raises:
        ConfigError: a field is out of range.
    """
    for key, (least, most) in ranges.items():
        value = getattr(config, key)
        entries = value if isinstance(value, tuple) else (value,)
        if not all(least <= entry <= most for entry in entries):
            raise ConfigError(f"{where}{key}={reprlib.repr(value)}; choose {least} to {most}")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Feature extractor; the fields after `name` are for Swin only."""

    name: Literal["resnet50", "swin", "efficientnet_lite0", "mobilenet_v2"]
    embed_dim: int = 192
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (6, 12, 24, 48)
    window: int = 12
    drop_path_rate: float = 0.3

    def __post_init__(self) -> None:
        _check_ranges(
            self, "backbone.", embed_dim=(1, _CHANNELS // 2), depths=(1, _LAYERS), heads=(1, _CHANNELS), window=(1, 32)
        )
        for key in ("depths", "heads"):
            count = len(getattr(self, key))
            if count != _STAGES:
                raise ConfigError(f"backbone.{key} has {count} entries; give one for each of {_STAGES} stages")
        for stage, heads in enumerate(self.heads):
            channels = self.embed_dim << stage
            if channels % heads:
                raise ConfigError(
                    f"backbone.heads={self.heads}: {heads} is no divisor of its stage's {channels} channels"
                )
        if not 0 <= self.drop_path_rate < 1:
            raise ConfigError(f"backbone.drop_path_rate={self.drop_path_rate}; choose 0 or more, below 1")


@dataclass(frozen=True, kw_only=True)
class PixelDecoderConfig:
    """See `a2vis_model.modeling.PixelDecoder`."""

    layers: int = 6
    points: int = 4
    ffn_dim: int = 1024
    attended: int = 3
    groups: int = 32
    separable: bool = False
    sampling: Literal["grid_sample", "gather"] = "grid_sample"

    def __post_init__(self) -> None:
        _check_ranges(
            self,
            "pixel_decoder.",
            layers=(1, _LAYERS),
            points=(1, 32),
            ffn_dim=(1, _HIDDEN),
            attended=(1, _STAGES - 1),
            groups=(1, _CHANNELS),
        )


@dataclass(frozen=True, kw_only=True)
class FrameDecoderConfig:
    """See `a2vis_model.modeling.FrameDecoder`."""

    queries: int = 100
    layers: int = 9
    ffn_dim: int = 2048

    def __post_init__(self) -> None:
        _check_ranges(self, "frame_decoder.", queries=(1, _QUERIES), layers=(1, _LAYERS), ffn_dim=(1, _HIDDEN))


@dataclass(frozen=True, kw_only=True)
class PrototypesConfig:
    """See `a2vis_model.modeling.InstancePrototypes` and `A2VIS`; `memory` is how many clips GenVIS remembers."""

    count: int = 100
    seeded: bool = False
    encoder_layers: int = 6
    decoder_layers: int = 3
    ffn_dim: int = 2048
    window: int = 0
    memory: int = 128

    def __post_init__(self) -> None:
        _check_ranges(
            self,
            "prototypes.",
            count=(1, _QUERIES),
            encoder_layers=(1, _LAYERS),
            decoder_layers=(1, _LAYERS),
            ffn_dim=(1, _HIDDEN),
            window=(0, _FRAMES),
            memory=(1, _FRAMES),
        )


@dataclass(frozen=True, kw_only=True)
class UpdateConfig:
    """See `a2vis_model.modeling.PrototypeUpdate`; `gate` also puts a `PrototypeGate` at the end of a clip."""

    null_key: bool = False
    gate: bool = False


@dataclass(frozen=True, kw_only=True)
class SamhConfig:
    """See `a2vis_model.modeling.SAMH`."""

    enabled: bool = True
    layers: int = 2
    conv_layers: int = 4
    vspm: bool = True
    aspm: bool = True
    feature_stride: int = 4
    key_stride: int = 4
    residual: bool = False
    position: bool = False

    def __post_init__(self) -> None:
        _check_ranges(self, "samh.", layers=(1, _LAYERS), conv_layers=(2, _LAYERS))
        for key in ("feature_stride", "key_stride"):
            if getattr(self, key) not in _SAMH_STRIDES:
                raise ConfigError(f"samh.{key}={getattr(self, key)}; choose {' or '.join(map(str, _SAMH_STRIDES))}")
        if self.key_stride < self.feature_stride:
            raise ConfigError(
                f"samh.key_stride={self.key_stride}; choose samh.feature_stride={self.feature_stride} or more"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines a network's parameters and graph."""

    name: str
    """Name of the preset, and of the variant after a slash if it is not "a2vis"."""
    classes: tuple[str, ...]
    input_height: int
    """Height of the input in pixels, a multiple of 32; images are scaled to fit and padded."""
    input_width: int
    dim: int = 256
    """Channels C of queries and prototypes."""
    mask_dim: int = 256
    """Channels of the pixel embeddings from which masks are computed."""
    heads: int = 8
    clip_length: int = 3
    """Number of frames of a clip, N_c.

    Offline variants take a whole video as one clip and train with this many frames.
    """
    association: Association = "global"
    supervision: Supervision = "both"
    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    frame_decoder: FrameDecoderConfig = field(default_factory=FrameDecoderConfig)
    prototypes: PrototypesConfig = field(default_factory=PrototypesConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    samh: SamhConfig = field(default_factory=SamhConfig)

    def __post_init__(self) -> None:
        _check_ranges(
            self,
            input_height=(32, _PIXELS),
            input_width=(32, _PIXELS),
            dim=(4, _CHANNELS),
            mask_dim=(4, _CHANNELS),
            heads=(1, _CHANNELS),
            clip_length=(1, _FRAMES),
        )
        for key in ("input_height", "input_width"):
            size = getattr(self, key)
            if size % 32:
                raise ConfigError(f"{key}={size} is not a multiple of 32; choose e.g. 320")
        unit = math.lcm(4, 2 * self.heads)  # Positions are sines and cosines of x and y; heads have an even size.
        for key in ("dim", "mask_dim"):
            size = getattr(self, key)
            if size % unit:
                raise ConfigError(f"{key}={size} is not a multiple of 4 and of twice heads={self.heads}, so of {unit}")
        if self.dim % self.pixel_decoder.groups:
            raise ConfigError(f"dim={self.dim} is not a multiple of pixel_decoder.groups={self.pixel_decoder.groups}")
        if self.association in ("cosine", "index") and self.clip_length != 1:
            raise ConfigError(
                f"clip_length={self.clip_length}; association={self.association!r} takes clips of 1 frame"
            )
        if not 1 <= len(self.classes) <= _CLASSES or len(set(self.classes)) != len(self.classes):
            raise ConfigError(f"classes={reprlib.repr(self.classes)} must be 1 to {_CLASSES} different names")
        with_samh = self.association == "global" and self.samh.enabled
        if (self.supervision == "both") != with_samh:
            raise ConfigError(
                f"supervision={self.supervision!r} does not fit association={self.association!r} with "
                f"samh.enabled={self.samh.enabled}: 'both' goes with SAMH, all else has one kind of mask"
            )


def preset_names() -> list[str]:
    """List the names of the presets that come with the package."""
    return sorted(path.stem for path in config_directory("presets").glob("*.yaml") if path.name != _VARIANTS_FILE)


def variant_names() -> list[str]:
    """List the names of the variants that `load_config` takes."""
    return sorted(_variants())


def load_config(preset: str, variant: str = "a2vis", **overrides: Any) -> ModelConfig:
    """Read a preset, apply a variant, then single overrides.

    Args:
        preset: a name from `preset_names()` or the path of a YAML file.
        variant: a name from `variant_names()`.
        overrides: top-level fields of `ModelConfig`, such as `classes` or `clip_length`.

    Raises:
        ConfigError: a name is unknown, a file is unreadable, a key is unknown or a value is out of range.
    """
    path = Path(preset)
    if path.suffix in (".yaml", ".yml"):
        name = path.stem
    else:
        name, path = preset, config_directory("presets") / f"{preset}.yaml"
        if preset not in preset_names():
            raise ConfigError(f"unknown preset {preset!r}; choose one of {', '.join(preset_names())}")
    variants = _variants()
    if variant not in variants:
        raise ConfigError(f"unknown variant {variant!r}; choose one of {', '.join(sorted(variants))}")
    values = _merge(read_yaml(path), variants[variant])
    values = _merge(values, overrides)
    return config_from_dict({**values, "name": name if variant == "a2vis" else f"{name}/{variant}"})


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """Build a configuration from plain values, as YAML and weight files hold it; the inverse of `asdict`."""
    return _build(ModelConfig, values, "")


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """Return a configuration as plain values."""
    return dataclasses.asdict(config)


def config_directory(kind: str) -> Path:
    """Return a folder of YAML files, "presets", "recipes" or "labels".

    It is in the package where that is installed, and in `config` in a source tree.
    """
    package = Path(__file__).resolve().parent
    for path in (package / kind, package.parent / "config" / kind):
        if path.is_dir():
            return path
    raise ConfigError(f"{package}/{kind} is missing; reinstall the package")


def _variants() -> dict[str, dict[str, Any]]:
    """Return all variants; each baseline also as "-amodal", the same network trained on amodal masks."""
    listed = read_yaml(config_directory("presets") / _VARIANTS_FILE)
    variants: dict[str, dict[str, Any]] = {}
    for name, values in listed.items():
        values = values or {}
        variants[name] = values
        if values.get("supervision") == "visible":
            variants[f"{name}-amodal"] = {**values, "supervision": "amodal"}
    return variants


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file.

    Raises:
        ConfigError: the file is missing, broken or something else.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give an existing configuration file") from error
    except Exception as error:  # The parser of a number, date or tag can fail with any error.
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    return values


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


T = TypeVar("T")


def _build(cls: type[T], values: Any, where: str) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or 'configuration'}: expected keys and values, found {reprlib.repr(values)}")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise ConfigError(f"unknown key {where}{key}; known are {', '.join(fields)}")
    for key, spec in fields.items():
        required = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if required and key not in values:
            raise ConfigError(f"key {where}{key} is missing")
    return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check a plain value against a field's type; lists become tuples, mappings nested configurations."""
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{where}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise ConfigError(f"{where}={reprlib.repr(value)}; choose one of {choices}")
        return value
    if origin is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}={reprlib.repr(value)}; expected a list of {item.__name__}")
        return tuple(_convert(item, entry, where) for entry in value)
    accepted: Any = (int, float) if hint is float else hint
    if isinstance(accepted, types.UnionType) or not isinstance(value, accepted):
        raise ConfigError(f"{where}={reprlib.repr(value)}; expected {hint.__name__}")
    if hint is int and isinstance(value, bool):
        raise ConfigError(f"{where}={value!r}; expected int")
    if isinstance(value, int) and abs(value) >> 63:
        raise ConfigError(f"{where} is a number of more than 64 bits; choose a smaller one")
    return hint(value)
