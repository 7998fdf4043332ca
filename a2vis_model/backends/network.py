"""The two compiled graphs of a network as a `StreamNetwork`."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..modeling import ClipPrediction, ClipState, FrameFeatures, VideoNetwork, recycle_slots

Graph = Callable[..., tuple[Tensor, ...]]
"""A compiled `FrameGraph` or `ClipGraph`. Its outputs remain valid when it runs again."""


class GraphNetwork:
    """Runs the frame graph and the clip graph of one network.

    Args:
        model: the network from which the graphs were made; only its initial state is kept.
        frame: graph from `FRAME_INPUTS` to `FRAME_OUTPUTS`.
        clip: graph from `CLIP_INPUTS` to `CLIP_OUTPUTS`.
    """

    def __init__(self, model: VideoNetwork, frame: Graph, clip: Graph) -> None:
        self.slots = model.slots
        self.device = model.device
        with torch.no_grad():
            self._start = ClipState(model.initial_state().prototypes.float().clone())
        self._frame = frame
        self._clip = clip

    def extract(self, images: Tensor) -> FrameFeatures:
        """Compute the features of one normalised RGB image [1, 1, 3, H, W]."""
        if images.shape[:2] != (1, 1):
            raise ValueError(
                f"images are {list(images.shape)}; a compiled network takes one at a time, [1, 1, 3, H, W]"
            )
        queries, mask_features, amodal_attention, amodal_features = self._frame(images[:, 0])
        return FrameFeatures(queries, mask_features, amodal_attention, amodal_features)

    def initial_state(self) -> ClipState:
        """Return the state before the first clip."""
        return self._start

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip of N_c frames; the new state goes to the next clip."""
        inputs = (features.queries, features.mask_features, features.amodal_attention, features.amodal_features)
        classes, visible, amodal, prototypes = self._clip(*inputs, state.prototypes)
        return ClipPrediction(classes, visible, amodal), ClipState(prototypes)

    def recycle(self, state: ClipState, slots: Tensor) -> ClipState:
        """Give slots (bool [1, Q]) back for new objects: their part of the state is reset."""
        return recycle_slots(self._start, state, slots)
