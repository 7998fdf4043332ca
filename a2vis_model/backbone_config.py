"""Table of the backbones: a line of `BACKBONES` each, with its configuration and its module."""

from dataclasses import dataclass
from typing import NamedTuple

from .errors import ConfigError
from .limits import CHANNELS, LAYERS, STAGES, check_ranges


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A feature extractor that has no options."""

    name: str


@dataclass(frozen=True, kw_only=True)
class SwinConfig(BackboneConfig):
    """Configuration of a Swin Transformer (see `a2vis_model.modeling.backbones.Swin`)."""

    embed_dim: int = 192
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (6, 12, 24, 48)
    window: int = 12
    drop_path_rate: float = 0.3

    def __post_init__(self) -> None:
        check_ranges(
            self, "backbone.", embed_dim=(1, CHANNELS // 2), depths=(1, LAYERS), heads=(1, CHANNELS), window=(1, 32)
        )
        for key in ("depths", "heads"):
            count = len(getattr(self, key))
            if count != STAGES:
                raise ConfigError(f"backbone.{key} has {count} entries; give one for each of {STAGES} stages")
        for stage, heads in enumerate(self.heads):
            channels = self.embed_dim << stage
            if channels % heads:
                raise ConfigError(
                    f"backbone.heads={self.heads}: {heads} is no divisor of its stage's {channels} channels"
                )
        if not 0 <= self.drop_path_rate < 1:
            raise ConfigError(f"backbone.drop_path_rate={self.drop_path_rate}; choose 0 or more, below 1")


class Backbone(NamedTuple):
    """Configuration and module of a backbone."""

    config: type[BackboneConfig]
    """Class of its configuration; the fields besides `name` are the arguments of its module."""
    module: str
    """Module and class in `a2vis_model.modeling.backbones`, separated by a colon.

    The module of the same name in `a2vis_model.importers.backbones`, if there is one, maps foreign names of its
    weights.
    """


BACKBONES = {
    "resnet50": Backbone(BackboneConfig, "resnet:ResNet50"),
    "swin": Backbone(SwinConfig, "swin:Swin"),
    "efficientnet_lite0": Backbone(BackboneConfig, "efficientnet_lite:EfficientNetLite0"),
    "mobilenet_v2": Backbone(BackboneConfig, "mobilenet_v2:MobileNetV2"),
}
"""Backbones by their name in a preset. A new backbone is a line here, its module, and a preset that names it."""
