"""Model configurations: typed, checked, read from the YAML presets and variants.

A preset fixes the sizes of a network, a variant changes how it works (the paper's ablations and baselines).
Sizes live here and nowhere else; the parts of the network take them as arguments.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from .backbone_config import BACKBONES, BackboneConfig, SwinConfig
from .errors import ConfigError
from .files.regular import read_regular
from .limits import CHANNELS, CLASSES, FRAMES, HIDDEN, LAYERS, PIXELS, QUERIES, STAGES, check_ranges

Association = Literal["global", "memory", "offline", "joint", "cosine", "index"]
Supervision = Literal["visible", "amodal", "both"]

_VARIANTS_FILE = "variants.yaml"


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
        check_ranges(
            self,
            "pixel_decoder.",
            layers=(1, LAYERS),
            points=(1, 32),
            ffn_dim=(1, HIDDEN),
            attended=(1, STAGES - 1),
            groups=(1, CHANNELS),
        )


@dataclass(frozen=True, kw_only=True)
class FrameDecoderConfig:
    """See `a2vis_model.modeling.FrameDecoder`."""

    queries: int = 100
    layers: int = 9
    ffn_dim: int = 2048

    def __post_init__(self) -> None:
        check_ranges(self, "frame_decoder.", queries=(1, QUERIES), layers=(1, LAYERS), ffn_dim=(1, HIDDEN))


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
        check_ranges(
            self,
            "prototypes.",
            count=(1, QUERIES),
            encoder_layers=(1, LAYERS),
            decoder_layers=(1, LAYERS),
            ffn_dim=(1, HIDDEN),
            window=(0, FRAMES),
            memory=(1, FRAMES),
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
        check_ranges(self, "samh.", layers=(1, LAYERS), conv_layers=(2, LAYERS))
        if self.feature_stride < 4 or self.feature_stride % 4:
            raise ConfigError(f"samh.feature_stride={self.feature_stride}; choose 4 or a multiple of it, such as 8")
        if self.key_stride < self.feature_stride or self.key_stride % self.feature_stride:
            raise ConfigError(
                f"samh.key_stride={self.key_stride}; choose samh.feature_stride={self.feature_stride} or a multiple of "
                "it"
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

    @property
    def offline(self) -> bool:
        """Whether the variant takes a whole video as one clip (VITA, Mask2Former-VIS)."""
        return self.association in ("offline", "joint")

    def __post_init__(self) -> None:
        check_ranges(
            self,
            input_height=(32, PIXELS),
            input_width=(32, PIXELS),
            dim=(4, CHANNELS),
            mask_dim=(4, CHANNELS),
            heads=(1, CHANNELS),
            clip_length=(1, FRAMES),
        )
        for key in ("input_height", "input_width"):
            size = getattr(self, key)
            if size % 32:
                raise ConfigError(f"{key}={size} is not a multiple of 32; choose e.g. 320")
        for key in ("feature_stride", "key_stride") if self.samh.enabled else ():
            stride = getattr(self.samh, key)
            if self.input_height % stride or self.input_width % stride:
                raise ConfigError(
                    f"samh.{key}={stride} is no divisor of input_height={self.input_height} and "
                    f"input_width={self.input_width}; choose 4, 8, 16 or 32"
                )
        unit = math.lcm(4, 2 * self.heads)  # sines and cosines of x and y; heads of even size
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
        if not 1 <= len(self.classes) <= CLASSES or len(set(self.classes)) != len(self.classes):
            raise ConfigError(f"classes={reprlib.repr(self.classes)} must be 1 to {CLASSES} different names")
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
        overrides: fields of `ModelConfig`, such as `classes`, `clip_length` or `samh={"key_stride": 8}`, whose other
            fields stay as they are. Another `backbone` takes nothing from the preset's.

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


def change_config(config: ModelConfig, changes: Mapping[str, Any]) -> ModelConfig:
    """Change single values, given as in a preset; raises ConfigError where the result is unusable."""
    return config_from_dict(_merge(config_to_dict(config), changes))


def parse_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Values as they are written on a command line, such as "samh.key_stride=8", nested as in a preset.

    Raises:
        ConfigError: one of them is no key and value.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        path, sign, value = text.partition("=")
        *sections, key = path.strip().split(".")
        try:
            parsed = yaml.safe_load(value)
        except Exception as error:  # a number, date or tag can fail in its reader with any error
            raise ConfigError(f"--set {text}: the value is not valid YAML") from error
        if not sign or not key or not all(sections):
            raise ConfigError(f"--set {text}: give KEY=VALUE as in a preset, such as samh.key_stride=8")
        nested: Any = {key: parsed}
        for section in reversed(sections):
            nested = {section: nested}
        changes = _merge(changes, nested)
    return changes


def current_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as a file of any version holds them, in the form of this one.

    Every backbone used to carry Swin's fields; those of another backbone, which nothing read, are left out.
    """
    backbone = values.get("backbone")
    if not isinstance(backbone, Mapping):
        return dict(values)
    entry = BACKBONES.get(str(backbone.get("name")))
    if entry is None:
        return dict(values)
    own = {field.name for field in dataclasses.fields(entry.config)}
    former = {field.name for field in dataclasses.fields(SwinConfig)} - own
    return {**values, "backbone": {key: value for key, value in backbone.items() if key not in former}}


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
        values = yaml.safe_load(read_regular(path))
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
        if key == "backbone" and _is_another(old, value):
            old = None
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _is_another(old: Any, backbone: Any) -> bool:
    """Whether a change names another backbone, which has fields of its own."""
    both = isinstance(old, Mapping) and isinstance(backbone, Mapping)
    return both and backbone.get("name", old.get("name")) != old.get("name")


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


def _backbone(values: Any, where: str) -> type[BackboneConfig]:
    """The configuration of the backbone that plain values name."""
    name = values.get("name") if isinstance(values, Mapping) else values
    if not isinstance(name, str) or name not in BACKBONES:
        raise ConfigError(f"{where}.name={reprlib.repr(name)}; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name].config


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check a plain value against a field's type; lists become tuples, mappings nested configurations."""
    if hint is BackboneConfig:
        return _build(_backbone(value, where), value, f"{where}.")
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
