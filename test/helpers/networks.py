"""Networks of a size that every test can afford."""

import dataclasses

import torch
from torch import nn

from a2vis_model import ModelConfig, VideoNetwork, build_model, load_config
from a2vis_model.render.classes import FISH_NAMES

torch.set_num_threads(1)


def tiny_config(variant: str = "a2vis", **changes: object) -> ModelConfig:
    """A network of a few hundred thousand parameters with the paper's structure (Swin, 3 levels, stride 4)."""
    base = load_config(
        "onboard",
        variant,
        classes=FISH_NAMES,
        input_height=64,
        input_width=96,
        dim=32,
        mask_dim=32,
        heads=4,
        backbone={"name": "swin", "embed_dim": 16, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4},
        pixel_decoder={"layers": 2, "ffn_dim": 64, "attended": 3, "groups": 8, "separable": False},
        frame_decoder={"queries": 12, "layers": 3, "ffn_dim": 64},
        prototypes={"count": 10, "encoder_layers": 2, "decoder_layers": 2, "ffn_dim": 64, "memory": 4},
    )
    if base.samh.enabled:
        samh = dataclasses.replace(base.samh, feature_stride=4, key_stride=4, residual=False)
        base = dataclasses.replace(base, samh=samh)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def tiny_model(config: ModelConfig, seed: int = 0) -> VideoNetwork:
    """The network of a configuration, with every parameter random enough to matter."""
    torch.manual_seed(seed)
    model = build_model(config).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def randomise_by_fan_in(module: nn.Module) -> None:
    """Give every tensor of a network, statistics included, a value that shows when it is left out.

    Kernels and matrices keep the scale of what passes through them, so that deep networks neither vanish nor explode.
    """
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif value.dim() > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            value.normal_(std=0.2).add_(1.0 if name.endswith("weight") else 0.0)
