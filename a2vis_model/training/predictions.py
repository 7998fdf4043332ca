"""Running the network over a sequence and keeping everything that training supervises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..modeling import A2VIS, VITA, Detector, DetectorOutput, FrameFeatures, GenVIS, Mask2FormerVIS, Prototypes
from ..modeling.a2vis import PrototypeNetwork


class SetPrediction(NamedTuple):
    """Predictions of L decoder layers for I items of T frames; masks are products of embeddings and features."""

    classes: Tensor
    """Class logits [L, I, Q, K + 1]."""
    embeddings: Tensor
    """Mask embeddings [L, I, Q, C]."""
    features: Tensor
    """Frame features [I, T, C, h, w]."""


class TrackPrediction(NamedTuple):
    """Predictions of A2VIS for I clips of T frames; clips of a sequence are neighbours in I."""

    classes: Tensor
    """Class logits [I, Q, K + 1]."""
    visible: Tensor
    """Visible masks M, logits [I, T, Q, h, w]."""
    amodal: list[Tensor]
    """Amodal masks A before each SAMH layer and after the last, logits [I, T, Q, h, w]; empty without SAMH."""


class Unrolled(NamedTuple):
    """A network's predictions for the B · K clips of B sequences."""

    clips: SetPrediction
    """Predictions of the clips' own prototypes or queries, one for each decoder layer."""
    tracks: TrackPrediction | None = None
    """Predictions of the global prototypes, which only A2VIS has."""
    prototypes: Prototypes | None = None
    """The last layer's prototypes [I, Q, C] and tokens [I, T, fQ, C], for the similarity loss."""


def predict_frames(detector: Detector, output: DetectorOutput, *, last_only: bool = False) -> SetPrediction:
    """Return the detector's predictions for N images, T = 1, in each decoder layer or in the last."""
    queries = torch.stack(output.queries[-1:] if last_only else output.queries)
    return SetPrediction(
        classes=detector.frame_decoder.class_head(queries),
        embeddings=detector.frame_decoder.mask_head(queries),
        features=detector.pixel_decoder.mask_features(output.pixels).unsqueeze(1),
    )


def predict_clips(model: nn.Module, features: FrameFeatures, clips: int) -> Unrolled:
    """Run the clips of B sequences one after the other.

    Args:
        model: a network of the clip or the video stage.
        features: features of B sequences of clips · T frames.
        clips: number of clips of each sequence.
    """
    if isinstance(model, A2VIS):
        return _unroll_a2vis(model, features, clips)
    if isinstance(model, GenVIS | VITA):
        return _unroll_prototypes(model, features, clips)
    if isinstance(model, Mask2FormerVIS):
        return _decode_jointly(model, features)
    raise TypeError(f"{type(model).__name__} predicts frame by frame and has no clips to unroll")


def _unroll_a2vis(model: A2VIS, features: FrameFeatures, clips: int) -> Unrolled:
    prototypes = model.initial_state(len(features.mask_features)).prototypes
    outputs = []
    for k in range(clips):
        outputs.append(model.decode(clip_of(features, clips, k), prototypes))
        prototypes = outputs[-1].global_prototypes
    tracks = TrackPrediction(
        classes=_interleave([output.classes for output in outputs]),
        visible=_interleave([output.visible for output in outputs]),
        amodal=[_interleave(list(layer)) for layer in zip(*(output.amodal for output in outputs), strict=True)],
    )
    clip_prototypes = _join([output.clip_prototypes for output in outputs])
    return Unrolled(
        clips=_read_prototypes(model, clip_prototypes, features, clips), tracks=tracks, prototypes=clip_prototypes
    )


def _unroll_prototypes(model: GenVIS | VITA, features: FrameFeatures, clips: int) -> Unrolled:
    state = model.initial_state(len(features.mask_features))
    if state.memory_keys is not None and state.memory_values is not None and state.memory_used is not None:
        # A memory of more clips than these stays empty, at the price of copying it at every clip.
        state = state._replace(
            memory_keys=state.memory_keys[:, :, -clips:],
            memory_values=state.memory_values[:, :, -clips:],
            memory_used=state.memory_used[:, :, -clips:],
        )
    with outputs_of(model.prototypes) as steps:
        for k in range(clips):
            _, state = model.step(clip_of(features, clips, k), state)
    prototypes = _join(steps)
    return Unrolled(clips=_read_prototypes(model, prototypes, features, clips), prototypes=prototypes)


def _join(steps: Sequence[Prototypes]) -> Prototypes:
    """Join the prototypes of consecutive clips as items."""
    return Prototypes(
        layers=[_interleave(list(layer)) for layer in zip(*(step.layers for step in steps), strict=True)],
        raw=_interleave([step.raw for step in steps]),
        tokens=_interleave([step.tokens for step in steps]),
    )


def _read_prototypes(
    model: PrototypeNetwork, prototypes: Prototypes, features: FrameFeatures, clips: int
) -> SetPrediction:
    layers = torch.stack(prototypes.layers)
    return SetPrediction(
        classes=model.prototypes.class_head(layers),
        embeddings=model.visible_head.embed(layers),
        features=_clips_as_items(features.mask_features, clips),
    )


def _decode_jointly(model: Mask2FormerVIS, features: FrameFeatures) -> Unrolled:
    decoder = model.detector.frame_decoder
    with outputs_of(decoder) as calls:
        model.step(features, model.initial_state(len(features.mask_features)))
    queries = torch.stack(calls[0])
    return Unrolled(
        clips=SetPrediction(
            classes=decoder.class_head(queries),
            embeddings=decoder.mask_head(queries),
            features=features.mask_features,
        )
    )


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """Collect what a part of the network returns inside the block; inference keeps only the last layer's output."""
    outputs: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def clip_of(features: FrameFeatures, clips: int, k: int) -> FrameFeatures:
    """Return the features of the k-th of `clips` equally long clips."""

    def cut(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.unflatten(1, (clips, -1))[:, k]

    return FrameFeatures(
        queries=cut(features.queries),
        mask_features=features.mask_features.unflatten(1, (clips, -1))[:, k],
        amodal_attention=cut(features.amodal_attention),
        amodal_features=cut(features.amodal_features),
    )


def _clips_as_items(x: Tensor, clips: int) -> Tensor:
    """[B, clips · T, ...] → [B · clips, T, ...]."""
    return x.unflatten(1, (clips, -1)).flatten(0, 1)


def _interleave(clips: list[Tensor]) -> Tensor:
    """K tensors [B, ...] of consecutive clips → [B · K, ...]."""
    return torch.stack(clips, dim=1).flatten(0, 1)
