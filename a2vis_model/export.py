"""The two graphs of the network as modules of plain tensors, for `torch.export` and compilers that use it.

Frames enter one at a time, clips have N_c frames, batch is 1: all shapes are static. Selection, gating by score,
resizing to the image and run lengths stay outside, where shapes depend on data.
"""

from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .files.atomic import replacing
from .modeling import A2VIS, ClipState, FrameFeatures, VideoNetwork
from .modeling.layers import with_decomposed_attention

FRAME_INPUTS = ("image",)
FRAME_OUTPUTS = ("queries", "mask_features", "amodal_attention", "amodal_features")
CLIP_INPUTS = (*FRAME_OUTPUTS, "prototypes")
CLIP_OUTPUTS = ("classes", "visible", "amodal", "next_prototypes")

_ONNX_OPSET = 18
"""ONNX opset. From 20 on GridSample spells its mode "linear", which some engine builders read as nearest."""


class FrameGraph(nn.Module):
    """Graph from one frame to its features.

    Args:
        model: an A2VIS with SAMH.
    """

    def __init__(self, model: VideoNetwork) -> None:
        super().__init__()
        self.model = _exported(model)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute `FRAME_OUTPUTS`, each [1, 1, ...] as in `FrameFeatures`, of a normalised image [1, 3, H, W]."""
        features = self.model.extract(image.unsqueeze(1).to(self.model.mask_conv.weight.dtype))
        return tuple(getattr(features, name) for name in FRAME_OUTPUTS)


class ClipGraph(nn.Module):
    """Graph from the features of a clip and the state to a prediction and the next state.

    Args:
        model: an A2VIS with SAMH.
    """

    def __init__(self, model: VideoNetwork) -> None:
        super().__init__()
        self.model = _exported(model)
        self.eval()

    def forward(
        self,
        queries: Tensor,
        mask_features: Tensor,
        amodal_attention: Tensor,
        amodal_features: Tensor,
        prototypes: Tensor,
    ) -> tuple[Tensor, ...]:
        """Compute `CLIP_OUTPUTS` from `CLIP_INPUTS`.

        Inputs are shaped as in `FrameFeatures` and `ClipState`, with B = 1 and T = N_c.
        """
        features = FrameFeatures(queries, mask_features, amodal_attention, amodal_features)
        # Between graphs the state is fp32 even in a network of fp16, and so are the predictions.
        prediction, state = self.model.step(features, ClipState(prototypes.to(queries.dtype)))
        if prediction.visible is None or prediction.amodal is None:
            raise ValueError("the network predicts one kind of masks only; export an A2VIS with SAMH")
        return prediction.classes.float(), prediction.visible, prediction.amodal, state.prototypes.float()


def example_inputs(model: VideoNetwork, config: ModelConfig) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return random inputs of both graphs on the model's device, with the sizes and memory layout of a stream."""
    device = next(model.parameters()).device
    image = torch.randn(1, config.input_height, config.input_width, 3, device=device).permute(0, 3, 1, 2)
    with torch.no_grad():
        frame = FrameGraph(model)(image)
        state = model.initial_state()
    clip = tuple(torch.cat([tensor] * config.clip_length, dim=1) for tensor in frame)
    return (image,), (*clip, state.prototypes.detach().float().clone())


def export_graphs(
    model: VideoNetwork, config: ModelConfig, *, fused_attention: bool = False
) -> tuple[torch.export.ExportedProgram, torch.export.ExportedProgram]:
    """Export the frame graph and the clip graph with static shapes.

    Args:
        model: an A2VIS with SAMH, in evaluation mode and prepared for the configuration's size.
        config: its configuration.
        fused_attention: export attention as one operation, for PyTorch's own compiler; else as several (see
            `with_decomposed_attention`).
    """
    frame_inputs, clip_inputs = example_inputs(model, config)
    source = model if fused_attention else with_decomposed_attention(model)
    with torch.no_grad():
        frame = torch.export.export(FrameGraph(source), frame_inputs, strict=False)
        clip = torch.export.export(ClipGraph(source), clip_inputs, strict=False)
    return frame, clip


def export_onnx(model: VideoNetwork, config: ModelConfig, directory: str | Path) -> tuple[Path, Path]:
    """Write `frame.onnx` and `clip.onnx` into a directory and return their paths."""
    directory = Path(directory)
    frame_path, clip_path = directory / "frame.onnx", directory / "clip.onnx"
    source = with_decomposed_attention(model)
    for graph, inputs, names, outputs, path in zip(
        (FrameGraph(source), ClipGraph(source)),
        example_inputs(model, config),
        (FRAME_INPUTS, CLIP_INPUTS),
        (FRAME_OUTPUTS, CLIP_OUTPUTS),
        (frame_path, clip_path),
        strict=True,
    ):
        with replacing(path) as temporary:
            torch.onnx.export(
                graph,
                inputs,
                temporary,
                dynamo=True,
                opset_version=_ONNX_OPSET,
                input_names=list(names),
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
    return frame_path, clip_path


def exportable(model: VideoNetwork) -> TypeGuard[A2VIS]:
    """Whether a network has the two graphs that are exported and compiled: A2VIS with SAMH has."""
    return isinstance(model, A2VIS) and model.samh is not None


def _exported(model: VideoNetwork) -> A2VIS:
    if not exportable(model):
        raise ValueError(f"{type(model).__name__} without SAMH is not exported; only A2VIS with SAMH is")
    if model.training:
        raise ValueError("the network is in training mode; call eval() before exporting it")
    return model
