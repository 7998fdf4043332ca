"""Running the network over a sequence and keeping everything that is supervised, not the answer alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..modeling import A2VIS, VITA, Detector, DetectorOutput, FrameFeatures, GenVIS, Mask2FormerVIS, Prototypes
from ..modeling.a2vis import PrototypeNetwork


class SetPrediction(NamedTuple):
    """What L decoder layers say about I items of T frames; masks are products of embeddings and features."""

    classes: Tensor
    """[L, I, Q, K + 1]."""
    embeddings: Tensor
    """[L, I, Q, C]."""
    features: Tensor
    """[I, T, C, h, w]."""


class TrackPrediction(NamedTuple):
    """What A2VIS says about I clips of T frames; clips of a sequence are neighbours in I."""

    classes: Tensor
    """[I, Q, K + 1]."""
    visible: Tensor
    """M, logits [I, T, Q, h, w]."""
    amodal: list[Tensor]
    """A before each SAMH layer and after the last, logits [I, T, Q, h, w]; empty without SAMH."""


class Unrolled(NamedTuple):
    """A network's predictions for the B · K clips of B sequences."""

    clips: SetPrediction
    """From the clips' own prototypes or queries, one for each decoder layer."""
    tracks: TrackPrediction | None = None
    """From the global prototypes; A2VIS alone has them."""
    prototypes: Prototypes | None = None
    """The last layer's [I, Q, C] and tokens [I, T, fQ, C], for the similarity loss."""


def predict_frames(detector: Detector, output: DetectorOutput, *, last_only: bool = False) -> SetPrediction:
    """What the detector says about N images, T = 1, in each decoder layer or in the last."""
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
        features: of B sequences of clips · T frames.
        clips: how many clips each sequence has.
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
    for clip in split_clips(features, clips):
        outputs.append(model.decode(clip, prototypes))
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
        # More memory than clips stays empty, at the price of copying it at every clip.
        state = state._replace(
            memory_keys=state.memory_keys[:, :, -clips:],
            memory_values=state.memory_values[:, :, -clips:],
            memory_used=state.memory_used[:, :, -clips:],
        )
    with outputs_of(model.prototypes) as steps:
        for clip in split_clips(features, clips):
            _, state = model.step(clip, state)
    prototypes = _join(steps)
    return Unrolled(clips=_read_prototypes(model, prototypes, features, clips), prototypes=prototypes)


def _join(steps: Sequence[Prototypes]) -> Prototypes:
    """The prototypes of consecutive clips, as items."""
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
    """Collect what a part of the network returns inside the block: inference keeps the last layer alone."""
    outputs: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def split_clips(features: FrameFeatures, clips: int) -> list[FrameFeatures]:
    """The features of each of `clips` equally long clips.

    All are cut at once, since of each single cut the gradient would be as large as all of the features.
    """

    def cut(x: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * clips if x is None else x.unflatten(1, (clips, -1)).unbind(1)

    maps = features.mask_features.unflatten(1, (clips, -1)).unbind(1)
    parts = (cut(features.queries), maps, cut(features.amodal_attention), cut(features.amodal_features))
    return [FrameFeatures(*clip) for clip in zip(*parts, strict=True)]


def _clips_as_items(x: Tensor, clips: int) -> Tensor:
    """[B, clips · T, ...] → [B · clips, T, ...]."""
    return x.unflatten(1, (clips, -1)).flatten(0, 1)


def _interleave(clips: list[Tensor]) -> Tensor:
    """K tensors [B, ...] of consecutive clips → [B · K, ...]."""
    return torch.stack(clips, dim=1).flatten(0, 1)
