"""Building networks from configurations: the only place that assigns sizes to parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..backbone_config import BACKBONES, BackboneConfig
from ..config import ModelConfig
from .a2vis import A2VIS, VideoNetwork
from .backbones.norm import fold_batch_norms
from .baselines import VITA, FrameQueryTracker, GenVIS, Mask2FormerVIS
from .classification_head import ClassificationHead
from .detector import Backbone, Detector
from .frame_decoder import FrameDecoder
from .instance_prototypes import InstancePrototypes
from .pixel_decoder import PixelDecoder
from .prototype_update import PrototypeGate, PrototypeUpdate
from .samh import SAMH
from .visible_mask_head import VisibleMaskHead

Network = TypeVar("Network", bound=nn.Module)


def build_model(config: ModelConfig) -> VideoNetwork:
    """Build the network of a configuration, randomly initialised and prepared for its input size."""
    model = _build_network(config)
    model.prepare(config.input_height, config.input_width, config.clip_length)
    return model


def build_blank(config: ModelConfig) -> VideoNetwork:
    """Build the network of a configuration for weights to be loaded into, neither initialised nor prepared.

    Its kernels and matrices are addresses alone, which take memory when they are written.
    """
    with _Blank():
        return _build_network(config)


class _Blank(TorchFunctionMode):
    """A context in which parameters are not filled, by `torch.nn.init` or by methods of theirs."""

    _FILLING = (torch.Tensor.fill_, torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.zero_)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        tensor = args[0] if args else given.get("tensor")
        by_init = getattr(func, "__module__", None) == nn.init.__name__
        if isinstance(tensor, nn.Parameter) and (by_init or func in self._FILLING):
            return tensor
        return func(*args, **given)


def freeze(model: Network) -> Network:
    """Prepare a network, or a part of one, for inference in place.

    It then has no gradients, folded norms, activations in place, and channels last in memory.

    Its state dict is no longer that of a trainable network; save before, not after.
    """
    model.eval().requires_grad_(False)
    fold_batch_norms(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = True
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_detector(config: ModelConfig) -> Detector:
    """Build the frame-level detector alone."""
    backbone = _build_backbone(config.backbone)
    pixel = config.pixel_decoder
    return Detector(
        backbone=backbone,
        pixel_decoder=PixelDecoder(
            in_channels=backbone.channels,
            dim=config.dim,
            mask_dim=config.mask_dim,
            layers=pixel.layers,
            heads=config.heads,
            points=pixel.points,
            ffn_dim=pixel.ffn_dim,
            attended=pixel.attended,
            groups=pixel.groups,
            separable=pixel.separable,
            sampling=pixel.sampling,
        ),
        frame_decoder=FrameDecoder(
            classes=len(config.classes),
            queries=config.frame_decoder.queries,
            dim=config.dim,
            mask_dim=config.mask_dim,
            layers=config.frame_decoder.layers,
            levels=pixel.attended,
            heads=config.heads,
            ffn_dim=config.frame_decoder.ffn_dim,
        ),
    )


def _build_backbone(config: BackboneConfig) -> Backbone:
    module, _, name = BACKBONES[config.name].module.partition(":")
    arguments = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "name"}
    backbone: Backbone = getattr(import_module(f".backbones.{module}", __package__), name)(**arguments)
    return backbone


def _build_network(config: ModelConfig) -> VideoNetwork:
    detector = build_detector(config)
    amodal = config.supervision == "amodal"
    if config.association == "joint":
        return Mask2FormerVIS(detector=detector, amodal=amodal)
    if config.association in ("cosine", "index"):
        return FrameQueryTracker(detector=detector, amodal=amodal, match=config.association == "cosine")
    prototypes = InstancePrototypes(
        classes=len(config.classes),
        prototypes=config.prototypes.count,
        frame_queries=config.frame_decoder.queries,
        dim=config.dim,
        heads=config.heads,
        ffn_dim=config.prototypes.ffn_dim,
        encoder_layers=config.prototypes.encoder_layers,
        decoder_layers=config.prototypes.decoder_layers,
        window=config.prototypes.window,
    )
    visible_head = VisibleMaskHead(dim=config.dim, mask_dim=config.mask_dim)
    if config.association == "offline":
        return VITA(
            detector=detector,
            prototypes=prototypes,
            visible_head=visible_head,
            dim=config.dim,
            mask_dim=config.mask_dim,
            amodal=amodal,
        )
    if config.association == "memory":
        return GenVIS(
            detector=detector,
            prototypes=prototypes,
            visible_head=visible_head,
            dim=config.dim,
            mask_dim=config.mask_dim,
            memory=config.prototypes.memory,
            amodal=amodal,
        )
    return A2VIS(
        detector=detector,
        prototypes=prototypes,
        seeded=config.prototypes.seeded,
        update=PrototypeUpdate(dim=config.dim, null_key=config.update.null_key),
        gate=PrototypeGate(dim=config.dim) if config.update.gate else None,
        visible_head=visible_head,
        samh=_build_samh(config, visible_head),
        class_head=ClassificationHead(dim=config.dim, classes=len(config.classes)),
        dim=config.dim,
        mask_dim=config.mask_dim,
        amodal=amodal,
    )


def _build_samh(config: ModelConfig, visible_head: VisibleMaskHead) -> SAMH | None:
    samh = config.samh
    if not samh.enabled:
        return None
    module = SAMH(
        dim=config.dim,
        mask_dim=config.mask_dim,
        heads=config.heads,
        layers=samh.layers,
        conv_layers=samh.conv_layers,
        vspm=samh.vspm,
        aspm=samh.aspm,
        feature_stride=samh.feature_stride,
        key_stride=samh.key_stride,
        residual=samh.residual,
        position=samh.position,
    )
    if samh.residual:
        # With E = F at the start, the same embedding makes amodal masks begin like the visible ones.
        module.mask_embed.load_state_dict(visible_head.embed.state_dict())
    return module
