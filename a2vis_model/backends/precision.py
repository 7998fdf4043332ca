"""Preparing networks for backends: fp16 with fp32 where needed, and the sampling method."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..backend_names import Precision
from ..modeling import A2VIS, DeformableAttention
from ..modeling.deformable_attention import Sampling
from ..modeling.prototype_update import PrototypeGate, PrototypeUpdate

_ISLANDS = (nn.LayerNorm, nn.GroupNorm, PrototypeUpdate, PrototypeGate)
"""Modules computed in fp32: normalisation, and what carries the state from clip to clip."""
_KEPT = ("sampling_offsets", "attention_weights", "reference", "cell_size")
"""Layers and buffers of deformable attention, kept in fp32, that determine where to sample and with which weight."""


class _Island(nn.Module):
    """A module in fp32 inside a network of fp16."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.module(*(x.float() for x in inputs))
        return result.half()


def prepared(model: A2VIS, precision: Precision, sampling: Sampling | None) -> A2VIS:
    """The network that graphs are made of: at a precision, and sampling as the backend must (None: as configured).

    OpenVINO makes bf16 and int8 itself, of graphs of fp32.
    """
    if precision in ("fp32", "bf16", "int8") and sampling is None:
        return model
    source = half_precision(model) if precision == "fp16" else copy.deepcopy(model).eval()
    for module in source.modules():
        if isinstance(module, DeformableAttention) and sampling is not None:
            module.sampling = sampling
    return source


def half_precision(model: A2VIS) -> A2VIS:
    """Return a copy of a network that computes in fp16, in evaluation mode.

    Normalisation, the prototypes' update and gate, sampling locations and weights of deformable attention and the
    sampling itself stay in fp32, and, by the network's own code, the softmax of exported attention, attention
    over more than `FEW_KEYS` keys, and mask products. It takes images of fp16 and a state of fp16, as `FrameGraph` and
    `ClipGraph` give them.

    Args:
        model: a network of fp32; the loss of precision is smallest with its norms folded (`freeze`).
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    _halve(model)
    return model


def _halve(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _ISLANDS):
            setattr(module, name, _Island(child))
        elif name not in _KEPT:
            _halve(child)
    own: dict[str, Any] = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    for name, tensor in own.items():
        if tensor.is_floating_point() and name not in _KEPT:
            tensor.data = tensor.data.to(torch.float16)
