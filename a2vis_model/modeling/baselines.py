"""The paper's baselines that share the detector: GenVIS, VITA, Mask2Former-VIS, MinVIS, Mask2Former.

Each predicts one kind of mask: visible ones, or amodal ones where it was trained on those ("-Amodal", paper 4.3).
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .a2vis import PrototypeNetwork, Stage, VideoNetwork
from .detector import Detector, DetectorOutput
from .features import ClipPrediction, ClipState, FrameFeatures, single_mask
from .frame_decoder import DecoderLevel
from .instance_prototypes import InstancePrototypes, Prototypes
from .layers import BLOCKED, mask_product
from .position import sine_position_3d
from .predictions import SetPrediction, Unrolled, join_prototypes, split_clips
from .visible_mask_head import VisibleMaskHead


def _no_state(network: VideoNetwork, batch: int) -> ClipState:
    """Return the state of a network without memory: of the usual form, without channels."""
    device = next(network.parameters()).device
    return ClipState(prototypes=torch.zeros(batch, network.slots, 0, device=device))


class VITA(PrototypeNetwork):
    """VITA (Heo et al. 2022): the whole video is one clip, slots are tracks."""

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return the empty state."""
        return _no_state(self, batch)

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict the video, given as one clip; the state does not change."""
        return self.read_answer(self.prototypes(features.queries), features), state

    def unroll(self, features: FrameFeatures, clips: int, dwell: Sequence[int] = ()) -> Unrolled:
        """Model every clip by itself and keep what training supervises; see `VideoNetwork.unroll`."""
        own = join_prototypes([self.prototypes(clip.queries) for clip in split_clips(features, clips)])
        return Unrolled(clips=self.read_prototypes(own, features, clips), owners="matched", prototypes=own)


class GenVIS(PrototypeNetwork):
    """GenVIS (Heo et al. 2023): prototypes seeded by the last clip and by a memory of all clips.

    The memory here holds the last `memory` clips, so that a run can be arbitrarily long; the reference's grows
    without limit. Both are equal for videos of at most that many clips.

    Args:
        detector: see `PrototypeNetwork`.
        prototypes: see `PrototypeNetwork`.
        visible_head: see `PrototypeNetwork`.
        dim: see `PrototypeNetwork`.
        mask_dim: see `PrototypeNetwork`.
        amodal: see `PrototypeNetwork`.
        memory: number M of remembered clips.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        prototypes: InstancePrototypes,
        visible_head: VisibleMaskHead,
        dim: int,
        mask_dim: int,
        amodal: bool,
        memory: int,
    ) -> None:
        super().__init__(
            detector=detector,
            prototypes=prototypes,
            visible_head=visible_head,
            dim=dim,
            mask_dim=mask_dim,
            amodal=amodal,
        )
        self.memory = memory
        self.memory_key = nn.Linear(dim, dim)
        self.memory_value = nn.Linear(dim, dim)
        self.query_key = nn.Linear(dim, dim)
        self.query_value = nn.Linear(dim, dim)
        for layer in (self.memory_key, self.memory_value, self.query_key, self.query_value):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return the state before the first clip, with an empty memory."""
        content = self.prototypes.query_content
        slots, dim = content.shape
        device = content.device
        return ClipState(
            prototypes=content.expand(batch, -1, -1),
            memory_keys=torch.zeros(batch, slots, self.memory, dim, device=device),
            memory_values=torch.zeros(batch, slots, self.memory, dim, device=device),
            memory_used=torch.zeros(batch, slots, self.memory, dtype=torch.bool, device=device),
        )

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip from the features of its frames; the new state goes to the next clip."""
        clip, state = self._model(features, state)
        return self.read_answer(clip, features), state

    def unroll(self, features: FrameFeatures, clips: int, dwell: Sequence[int] = ()) -> Unrolled:
        """Run the clips one after the other and keep what training supervises; see `VideoNetwork.unroll`."""
        state = self.initial_state(len(features.mask_features))
        if state.memory_keys is not None and state.memory_values is not None and state.memory_used is not None:
            # More memory than clips that are run stays empty, at the price of copying it at every clip.
            used = clips + sum(dwell)
            state = state._replace(
                memory_keys=state.memory_keys[:, :, -used:],
                memory_values=state.memory_values[:, :, -used:],
                memory_used=state.memory_used[:, :, -used:],
            )
        outputs: list[Prototypes] = []
        for clip_features, times in zip(split_clips(features, clips), dwell or [0] * clips, strict=True):
            clip, state = self._model(clip_features, state)
            outputs.append(clip)
            state = self.run_again(clip_features, state, times)
        own = join_prototypes(outputs)
        return Unrolled(clips=self.read_prototypes(own, features, clips), owners="clips", prototypes=own)

    def _model(self, features: FrameFeatures, state: ClipState) -> tuple[Prototypes, ClipState]:
        """A clip's prototypes, and the state with the clip remembered."""
        keys, values, used = state.memory_keys, state.memory_values, state.memory_used
        if keys is None or values is None or used is None:
            raise ValueError("the state holds no memory; take it from this network's initial_state()")
        recalled = self._recall(state.prototypes, keys, values, used)
        seed = state.prototypes + self.query_value(state.prototypes) + recalled
        clip = self.prototypes(features.queries, seed)
        newest = self.memory_key(clip.layers[-1]).unsqueeze(2), self.memory_value(clip.layers[-1]).unsqueeze(2)
        return clip, ClipState(
            prototypes=clip.raw,
            memory_keys=torch.cat((keys[:, :, 1:], newest[0]), dim=2),
            memory_values=torch.cat((values[:, :, 1:], newest[1]), dim=2),
            memory_used=torch.cat((used[:, :, 1:], torch.ones_like(used[:, :, :1])), dim=2),
        )

    def _recall(self, prototypes: Tensor, keys: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Read what each slot remembers of earlier clips: [B, Q, C]; zeros while the memory is empty."""
        query = self.query_key(prototypes).unsqueeze(2)
        weights = torch.where(used, (query * keys).sum(dim=-1), BLOCKED).softmax(dim=-1)
        weights = torch.where(used, weights, 0.0)
        return (weights.unsqueeze(-1) * values).sum(dim=2)


class Mask2FormerVIS(VideoNetwork):
    """Mask2Former for video (Cheng et al. 2021): queries attend to all frames of the video at once."""

    stages: ClassVar[tuple[Stage, ...]] = ("frame", "joint")
    frame_queries: ClassVar[bool] = False

    def __init__(self, *, detector: Detector, amodal: bool) -> None:
        super().__init__(detector=detector, slots=len(detector.frame_decoder.query_content))
        self.amodal = amodal

    def extract(self, images: Tensor) -> FrameFeatures:
        """Compute features of normalised RGB images [B, T, 3, H, W], each frame by itself."""
        batch = images.shape[0]
        features = self.detector.features(images.flatten(0, 1))
        levels = self.detector.levels(features)
        mask_features = self.detector.pixel_decoder.mask_features(features.pixels)
        return FrameFeatures(
            queries=None,
            mask_features=mask_features.unflatten(0, (batch, -1)),
            pyramid=tuple(memory.unflatten(0, (batch, -1)) for memory in features.memory),
            pyramid_masks=tuple(
                level.mask_features.unflatten(2, memory.shape[-2:]).unflatten(0, (batch, -1))
                for level, memory in zip(levels, features.memory, strict=True)
            ),
        )

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return the empty state."""
        return _no_state(self, batch)

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict the video, given as one clip; the state does not change."""
        decoder, queries = self.detector.frame_decoder, self._decode(features)[-1]
        masks = mask_product(decoder.mask_head(queries), features.mask_features)
        return single_mask(decoder.class_head(queries), masks, amodal=self.amodal), state

    def unroll(self, features: FrameFeatures, clips: int, dwell: Sequence[int] = ()) -> Unrolled:
        """Decode the video as one clip and keep what training supervises; see `VideoNetwork.unroll`."""
        if clips != 1:
            raise ValueError(f"clips={clips}: this variant takes a video as one clip; give 1")
        decoder, queries = self.detector.frame_decoder, torch.stack(self._decode(features))
        prediction = SetPrediction(
            classes=decoder.class_head(queries),
            embeddings=decoder.mask_head(queries),
            features=features.mask_features,
        )
        return Unrolled(clips=prediction, owners="matched")

    def _decode(self, features: FrameFeatures) -> list[Tensor]:
        """The video's queries [B, Q, C] before the first decoder layer and after each one."""
        levels = []
        for memory, masks in zip(features.pyramid, features.pyramid_masks, strict=True):
            frames, dim, height, width = memory.shape[1:]
            levels.append(
                DecoderLevel(
                    memory=memory.permute(0, 1, 3, 4, 2).flatten(1, 3),
                    position=sine_position_3d(frames, height, width, dim).to(memory),
                    mask_features=masks.transpose(1, 2).flatten(2),
                )
            )
        queries: list[Tensor] = self.detector.frame_decoder(levels)
        return queries


class FrameQueryTracker(VideoNetwork):
    """Frame-by-frame Mask2Former whose queries form tracks.

    Args:
        detector: the frame-level detector.
        amodal: whether the masks are amodal ones.
        match: True is MinVIS (Huang et al. 2022): queries are matched to the last frame's by cosine
            similarity. False identifies objects by the query's index, Mask2Former without any tracking.
    """

    stages: ClassVar[tuple[Stage, ...]] = ("frame",)

    def __init__(self, *, detector: Detector, amodal: bool, match: bool) -> None:
        super().__init__(detector=detector, slots=len(detector.frame_decoder.query_content))
        self.amodal = amodal
        self.match = match

    def frame_features(self, output: DetectorOutput, batch: int) -> FrameFeatures:
        """Compute the features of B · T frames from the detector's output."""
        mask_features = self.detector.pixel_decoder.mask_features(output.pixels)
        return FrameFeatures(
            queries=output.queries[-1].unflatten(0, (batch, -1)),
            mask_features=mask_features.unflatten(0, (batch, -1)),
        )

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return all-zero queries, which resemble nothing, so that the first frame keeps its order."""
        device = next(self.parameters()).device
        dim = self.detector.frame_decoder.query_content.shape[1]
        return ClipState(prototypes=torch.zeros(batch, self.slots, dim, device=device))

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip of one frame; its queries are the new state."""
        if features.queries is None or features.queries.shape[1] != 1:
            raise ValueError("this network takes clips of one frame")
        queries = features.queries[:, 0]
        if self.match:
            queries = torch.stack([_follow(last, now) for last, now in zip(state.prototypes, queries, strict=True)])
        decoder = self.detector.frame_decoder
        masks = mask_product(decoder.mask_head(queries), features.mask_features)
        prediction = single_mask(decoder.class_head(queries), masks, amodal=self.amodal)
        return prediction, state._replace(prototypes=queries)


def _follow(last: Tensor, now: Tensor) -> Tensor:
    """Order a frame's queries [Q, C] like the last frame's, by greatest total cosine similarity."""
    # Imported here, since it takes half a second that no other network needs to be built.
    from scipy.optimize import linear_sum_assignment

    similarity = nn.functional.cosine_similarity(last[:, None], now[None], dim=-1)

    # Ties, as in the first frame, keep the order.
    similarity = similarity + 1e-6 * torch.eye(len(now), device=now.device)
    _, order = linear_sum_assignment(np.asarray(similarity.detach().cpu(), np.float64), maximize=True)
    return now[torch.as_tensor(order, device=now.device)]
