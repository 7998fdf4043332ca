"""The assembled A2VIS network (paper 3.2, Fig. 2)."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .classification_head import ClassificationHead
from .detector import Detector, DetectorOutput
from .features import ClipPrediction, ClipState, FrameFeatures, pass_gradients, recycle_slots, single_mask
from .instance_prototypes import InstancePrototypes, Prototypes
from .predictions import (
    SetPrediction,
    TrackPrediction,
    Unrolled,
    clips_as_items,
    interleave,
    join_prototypes,
    split_clips,
)
from .prototype_update import PrototypeGate, PrototypeUpdate
from .samh import SAMH
from .visible_mask_head import VisibleMaskHead
from .warm_start import follow_queries

Stage = Literal["frame", "video", "joint"]
"""What is trained: the detector on single frames, what follows it on clips, or both on clips."""


class VideoNetwork(nn.Module):
    """Two pure functions with explicit state: `extract`, frames → features, and `step`, clip → prediction.

    Args:
        detector: the frame-level detector.
        slots: number Q of objects that can be distinguished at a time.
    """

    stages: ClassVar[tuple[Stage, ...]] = ("frame", "video", "joint")
    """The training stages that have something to train in this variant."""
    frame_queries: ClassVar[bool] = True
    """Whether the detector's queries belong to single frames; otherwise they belong to the clip."""

    def __init__(self, *, detector: Detector, slots: int) -> None:
        super().__init__()
        self.detector = detector
        self.slots = slots

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def prepare(self, height: int, width: int, frames: int) -> None:
        """Fix the size of images (pixels, multiples of 32) and the number of frames of a clip."""
        self.detector.prepare(height, width)

    def extract(self, images: Tensor) -> FrameFeatures:
        """Compute features of normalised RGB images [B, T, 3, H, W], each frame by itself."""
        output = self.detector(images.flatten(0, 1))
        return self.frame_features(output, images.shape[0])

    def frame_features(self, output: DetectorOutput, batch: int) -> FrameFeatures:
        """Compute the features of B · T frames from the detector's output."""
        raise NotImplementedError

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return the state before the first clip."""
        raise NotImplementedError

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip from the features of its frames; the new state goes to the next clip."""
        raise NotImplementedError

    def recycle(self, state: ClipState, slots: Tensor) -> ClipState:
        """Give slots back for new objects: their part of the state is reset.

        Args:
            state: the current state.
            slots: bool [B, Q], true where the slot's object has ended.

        Returns:
            The state with these slots as at the start.
        """
        return recycle_slots(self.initial_state(slots.shape[0]), state, slots)

    def unroll(self, features: FrameFeatures, clips: int, dwell: Sequence[int] = ()) -> Unrolled:
        """Run the clips of B sequences one after the other and keep what training supervises.

        Args:
            features: features of B sequences of clips · T frames.
            clips: how many clips each sequence has.
            dwell: how often each clip is run again before the next (see `run_again`), one number for each; empty for
                never. Networks without a state leave it out.

        Raises:
            TypeError: the variant predicts frame by frame.
        """
        raise TypeError(f"{type(self).__name__} predicts frame by frame and has no clips to unroll")

    def run_again(self, features: FrameFeatures, state: ClipState, times: int) -> ClipState:
        """Return the state after a clip was run again, as in a stream whose view hardly changes.

        Streams are many times as long as the sequences of training. Running a clip again costs little, since its
        features are there, and takes no gradients: those of the result go to `state`.

        Args:
            features: features of the clip.
            state: the state after the clip.
            times: how often it is run again.
        """
        after = state
        with torch.no_grad():
            for _ in range(times):
                _, after = self.step(features, after)
        return pass_gradients(state, after) if times else state

    def warm_start(self) -> None:
        """Let the video part begin with what the detector has learned, in place; here there is no such part."""


class PrototypeNetwork(VideoNetwork):
    """A network that models a clip's objects by instance prototypes: A2VIS, GenVIS and VITA.

    Args:
        detector: the frame-level detector.
        prototypes: instance prototype modelling Θ.
        visible_head: visible mask head Γ; also predicts masks from the clip's own prototypes for the auxiliary loss.
        dim: channels of the detector's finest map.
        mask_dim: channels of the frame features.
        amodal: whether a network with one kind of masks predicts amodal ones ("-Amodal", paper 4.3).
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
    ) -> None:
        super().__init__(detector=detector, slots=len(prototypes.query_content))
        self.amodal = amodal
        self.mask_conv = nn.Conv2d(dim, mask_dim, 1)
        self.prototypes = prototypes
        self.visible_head = visible_head

    def frame_features(self, output: DetectorOutput, batch: int) -> FrameFeatures:
        """Compute the features of B · T frames from the detector's output."""
        return FrameFeatures(
            queries=output.queries[-1].unflatten(0, (batch, -1)),
            mask_features=_by_batch(self.mask_conv(output.pixels), batch),
        )

    def read_answer(self, prototypes: Prototypes, features: FrameFeatures) -> ClipPrediction:
        """Classes and masks of a clip's own prototypes, for networks whose answer they are."""
        last = prototypes.layers[-1]
        masks = self.visible_head(last, features.mask_features)
        return single_mask(self.prototypes.class_head(last), masks, amodal=self.amodal)

    def read_prototypes(self, prototypes: Prototypes, features: FrameFeatures, clips: int) -> SetPrediction:
        """Classes and masks of the B · K clips' own prototypes, in every layer.

        Args:
            prototypes: prototypes of the clips, as items.
            features: features of B sequences of clips · T frames.
            clips: how many clips K each sequence has.
        """
        layers = torch.stack(prototypes.layers)
        return SetPrediction(
            classes=self.prototypes.class_head(layers),
            embeddings=self.visible_head.embed(layers),
            features=clips_as_items(features.mask_features, clips),
        )

    def warm_start(self) -> None:
        """Let the clips' prototypes read masks and classes as the detector does.

        After a frame stage the detector's mask features and heads are good, and those of the video part are random;
        with copies of the former the video part only has to learn which prototype follows what.
        """
        decoder = self.detector.frame_decoder
        self.mask_conv.load_state_dict(self.detector.pixel_decoder.mask_conv.state_dict())
        self.visible_head.embed.load_state_dict(decoder.mask_head.state_dict())
        self.prototypes.class_head.load_state_dict(decoder.class_head.state_dict())


def _by_batch(maps: Tensor, batch: int) -> Tensor:
    """Rearrange [B · T, C, h, w] → [B, T, C, h, w], in the memory layout that every clip needs: cells last."""
    if maps.requires_grad:
        # What made the maps is several times as fast backwards when their gradient has its layout, channels last.
        maps.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return maps.contiguous().unflatten(0, (batch, -1))


class ClipOutput(NamedTuple):
    """Output of the network for a clip, including everything that training supervises."""

    classes: Tensor
    """Class logits [B, Q, K + 1]."""
    visible: Tensor
    """Visible masks M^k, logits [B, T, Q, H/4, W/4]."""
    amodal: list[Tensor]
    """Amodal masks A^k before each SAMH layer and after the last, logits [B, T, Q, H/4, W/4]; empty without SAMH."""
    clip_prototypes: Prototypes
    """Prototypes p^k of the clip."""
    global_prototypes: Tensor
    """Global prototypes p^G [B, Q, C] for the next clip."""


class A2VIS(PrototypeNetwork):
    """Amodal-aware video instance segmentation.

    A clip flows through instance prototype modelling (3.3), prototype update (3.6), visible mask head (3.4),
    SAMH (3.5) and classification head (3.7). Visible masks come from the prototypes before SAMH; class and next
    clip take the prototypes after it (Algorithm 1 returns p^G ← p_L).

    Args:
        detector: the frame-level detector.
        prototypes: instance prototype modelling Θ.
        seeded: let Θ start from p^G instead of learned queries, as GenVIS does, so that slot i of p^k and of p^G is
            the same object's. p^G then starts as the learned queries.
        update: prototype update.
        gate: how much of p_L the next clip gets; None passes on all of it, as Algorithm 1 does.
        visible_head: visible mask head Γ.
        samh: the amodal mask head; None for the ablation of paper Table 8.
        class_head: the classification head.
        dim: channels of the detector's finest map.
        mask_dim: channels of the frame features.
        amodal: whether a network with one kind of masks predicts amodal ones.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        prototypes: InstancePrototypes,
        seeded: bool,
        update: PrototypeUpdate,
        gate: PrototypeGate | None,
        visible_head: VisibleMaskHead,
        samh: SAMH | None,
        class_head: ClassificationHead,
        dim: int,
        mask_dim: int,
        amodal: bool,
    ) -> None:
        super().__init__(
            detector=detector,
            prototypes=prototypes,
            visible_head=visible_head,
            dim=dim,
            mask_dim=mask_dim,
            amodal=amodal,
        )
        self.seeded = seeded
        # The first clip runs the same path as all others: everything in it is new compared to this start.
        if not seeded:
            self.global_prototypes = nn.Parameter(prototypes.query_content.detach().clone())
        self.update = update
        self.gate = gate
        if gate is not None:
            gate.mark(self.start)
        self.samh = samh
        self.class_head = class_head

    def prepare(self, height: int, width: int, frames: int) -> None:
        """Fix the size of images (pixels, multiples of 32) and the number of frames of a clip."""
        super().prepare(height, width, frames)
        if self.samh is not None:
            self.samh.prepare(height, width, frames)

    def frame_features(self, output: DetectorOutput, batch: int) -> FrameFeatures:
        """Compute the features of B · T frames, including O and E, from the detector's output."""
        if self.samh is None:
            return super().frame_features(output, batch)
        maps = self.mask_conv(output.pixels)
        amodal = self.samh.extract(maps)
        return FrameFeatures(
            queries=output.queries[-1].unflatten(0, (batch, -1)),
            mask_features=_by_batch(maps, batch),
            amodal_attention=_by_batch(amodal.attention, batch),
            amodal_features=_by_batch(amodal.mask, batch),
        )

    @property
    def start(self) -> nn.Parameter:
        """Initial value of p^G, [Q, C]."""
        return self.prototypes.query_content if self.seeded else self.global_prototypes

    def initial_state(self, batch: int = 1) -> ClipState:
        """Return the state before the first clip."""
        return ClipState(prototypes=self.start.expand(batch, -1, -1))

    def advance(self, features: FrameFeatures, global_prototypes: Tensor) -> ClipOutput:
        """Run one clip in the paper's order (3.3, 3.6, 3.4, 3.5, 3.7); inference and training both call this.

        Args:
            features: features of the clip's T frames.
            global_prototypes: p^G of the clips before, [B, Q, C].

        Raises:
            ValueError: the features are not of this network.
        """
        if features.queries is None:
            raise ValueError("features hold no frame queries; extract them with this network")
        slot = self.prototypes.query_position
        clip = self.prototypes(features.queries, global_prototypes if self.seeded else None)
        updated = self.update(global_prototypes, clip.layers[-1], slot)
        visible = self.visible_head(updated, features.mask_features)
        amodal: list[Tensor] = []
        if self.samh is not None:
            if features.amodal_attention is None or features.amodal_features is None:
                raise ValueError("features hold no amodal maps; extract them with this network")
            amodal, updated = self.samh(updated, slot, visible, features.amodal_attention, features.amodal_features)
        kept = updated if self.gate is None else self.gate(global_prototypes, updated)
        return ClipOutput(
            classes=self.class_head(updated),
            visible=visible,
            amodal=amodal,
            clip_prototypes=clip,
            global_prototypes=kept,
        )

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip from the features of its frames; the new state goes to the next clip."""
        output = self.advance(features, state.prototypes)
        state = ClipState(prototypes=output.global_prototypes)
        if not output.amodal:
            return single_mask(output.classes, output.visible, amodal=self.amodal), state
        return ClipPrediction(classes=output.classes, visible=output.visible, amodal=output.amodal[-1]), state

    def unroll(self, features: FrameFeatures, clips: int, dwell: Sequence[int] = ()) -> Unrolled:
        """Run the clips one after the other and keep what training supervises; see `VideoNetwork.unroll`."""
        state = self.initial_state(len(features.mask_features))
        outputs: list[ClipOutput] = []
        for clip, times in zip(split_clips(features, clips), dwell or [0] * clips, strict=True):
            outputs.append(self.advance(clip, state.prototypes))
            state = self.run_again(clip, ClipState(prototypes=outputs[-1].global_prototypes), times)
        own = join_prototypes([output.clip_prototypes for output in outputs])
        return Unrolled(
            clips=self.read_prototypes(own, features, clips),
            owners="tracks" if self.seeded else "matched",
            tracks=_tracks(outputs),
            prototypes=own,
        )

    def warm_start(self) -> None:
        """Copy the detector's heads; a seeded network also begins with an answer to which prototype follows what."""
        super().warm_start()
        if self.samh is not None and self.samh.features.residual:
            self.samh.mask_embed.load_state_dict(self.detector.frame_decoder.mask_head.state_dict())
        if self.seeded:
            follow_queries(
                self.detector.frame_decoder,
                self.prototypes,
                update=self.update,
                gate=self.gate,
                samh=self.samh,
                class_head=self.class_head,
            )


def _tracks(outputs: Sequence[ClipOutput]) -> TrackPrediction:
    """The predictions of consecutive clips, as items."""
    return TrackPrediction(
        classes=interleave([output.classes for output in outputs]),
        visible=interleave([output.visible for output in outputs]),
        amodal=[interleave(layer) for layer in zip(*(output.amodal for output in outputs), strict=True)],
    )
