"""A network that keeps what it computed last."""

from __future__ import annotations

from torch import Tensor

from ..modeling import ClipPrediction, ClipState, FrameFeatures, StreamNetwork


class NetworkTap:
    """The network, keeping the features of the last frame and the prediction of the last clip.

    So a stream's owner can look at more than its tracks without computing anything twice.
    """

    def __init__(self, network: StreamNetwork) -> None:
        self.network = network
        self.slots, self.device = network.slots, network.device
        self.initial_state, self.recycle = network.initial_state, network.recycle
        self.features: FrameFeatures | None = None
        self.prediction: ClipPrediction | None = None

    def extract(self, images: Tensor) -> FrameFeatures:
        """Compute the features of frames, see `StreamNetwork.extract`."""
        self.features = self.network.extract(images)
        return self.features

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Decode a clip, see `StreamNetwork.step`."""
        self.prediction, state = self.network.step(features, state)
        return self.prediction, state
