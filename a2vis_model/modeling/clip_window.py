"""Clip window: the conversion of a stream of frames to clips, at its start, in the middle and at its end."""

from collections import deque

import torch
from torch import Tensor

from ..config import ModelConfig
from .features import ClipPrediction, ClipState, FrameFeatures, StreamNetwork, concatenate


class ClipWindow:
    """The last N_c frames of a stream, and the network's state after the clips before.

    A clip always has N_c frames, since engines have static shapes. Until N_c frames have come the oldest is repeated
    for the missing ones. Frames that an earlier clip has decided stay in the window, so a clip that is decoded before
    N_c new frames have come, as at the end of a video, sees them again. The offline variants (VITA, Mask2Former-VIS)
    keep every frame since `reset()` and take all of them as one clip.

    Args:
        network: the network that decodes the clips.
        config: its configuration, with N_c.
    """

    state: ClipState
    """State that the next clip starts from."""

    def __init__(self, network: StreamNetwork, config: ModelConfig) -> None:
        self.network = network
        self._length = None if config.offline else config.clip_length
        self._frames: deque[FrameFeatures] = deque(maxlen=self._length)
        self._open: int
        self.reset()

    @property
    def open(self) -> int:
        """Number of frames that no clip has decided."""
        return self._open

    def push(self, features: FrameFeatures) -> None:
        """Take the features of the next frame, T = 1."""
        self._frames.append(features)
        self._open += 1

    @torch.inference_mode()
    def decode(self) -> tuple[ClipPrediction, range]:
        """Run the network over the window; at least one frame must have come.

        Returns:
            The clip's prediction and the indices of the frames in it that it decides: the open ones, counted from the
            end, -open to -1.
        """
        missing = 0 if self._length is None else self._length - len(self._frames)
        prediction, self.state = self.network.step(
            concatenate([self._frames[0]] * missing + list(self._frames)), self.state
        )
        decided = range(-self._open, 0)
        self._open = 0
        return prediction, decided

    @torch.inference_mode()
    def recycle(self, slots: Tensor) -> None:
        """Give slots (bool [1, Q]) back for new objects: their part of the state is reset."""
        self.state = self.network.recycle(self.state, slots)

    @torch.inference_mode()
    def reset(self) -> None:
        """Forget all frames and start again."""
        self._frames.clear()
        self._open = 0
        self.state = self.network.initial_state()
