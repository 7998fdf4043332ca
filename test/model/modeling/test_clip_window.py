"""The window that makes clips of a stream: the start, the middle, the end, and what the state goes through."""

import torch
from networks import tiny_config, tiny_model

from a2vis_model.modeling import ClipPrediction, ClipState, ClipWindow, FrameFeatures


class Scripted:
    """A network whose frame features are a number, and which remembers the numbers of every clip."""

    slots, device = 2, torch.device("cpu")

    def __init__(self) -> None:
        self.clips: list[list[int]] = []

    def extract(self, images: torch.Tensor) -> FrameFeatures:
        return FrameFeatures(queries=None, mask_features=images)

    def initial_state(self) -> ClipState:
        return ClipState(prototypes=torch.zeros(1, self.slots, 1))

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        self.clips.append(features.mask_features.flatten().int().tolist())
        prediction = ClipPrediction(classes=torch.zeros(1, 2, 2), visible=features.mask_features, amodal=None)
        return prediction, ClipState(prototypes=state.prototypes + 1)

    def recycle(self, state: ClipState, slots: torch.Tensor) -> ClipState:
        return ClipState(prototypes=torch.where(slots[..., None], 0.0, state.prototypes))


def frame(number: int) -> FrameFeatures:
    return FrameFeatures(queries=None, mask_features=torch.full((1, 1, 1, 1, 1), float(number)))


def test_clips_at_the_start_in_the_middle_and_at_the_end() -> None:
    network = Scripted()
    window = ClipWindow(network, tiny_config())
    decided = []
    for number in range(8):
        window.push(frame(number))
        if window.open == 3 or number in (0, 7):
            prediction, frames = window.decode()
            assert prediction.visible is not None
            decided += [int(prediction.visible[0, t].item()) for t in frames]
            assert window.open == 0
    assert network.clips == [[0, 0, 0], [1, 2, 3], [4, 5, 6], [5, 6, 7]]
    assert decided == list(range(8)), "every frame is decided once, in order"
    assert window.state.prototypes.flatten().tolist() == [4, 4]


def test_a_short_video_is_filled_up_with_its_first_frame() -> None:
    network = Scripted()
    window = ClipWindow(network, tiny_config())
    window.push(frame(5))
    window.push(frame(6))
    assert list(window.decode()[1]) == [-2, -1]
    assert network.clips == [[5, 5, 6]]


def test_reset_forgets_frames_and_state_and_recycled_slots_start_anew() -> None:
    network = Scripted()
    window = ClipWindow(network, tiny_config())
    window.push(frame(1))
    window.decode()
    window.recycle(torch.tensor([[True, False]]))
    assert window.state.prototypes.flatten().tolist() == [0, 1]
    window.push(frame(2))
    window.reset()
    assert window.open == 0
    window.push(frame(3))
    window.decode()
    assert network.clips[-1] == [3, 3, 3]
    assert window.state.prototypes.flatten().tolist() == [1, 1]


def test_an_offline_variant_takes_all_frames_as_one_clip() -> None:
    config = tiny_config("vita")
    network = tiny_model(config)
    window = ClipWindow(network, config)
    with torch.inference_mode():
        for _ in range(config.clip_length + 2):
            window.push(network.extract(torch.randn(1, 1, 3, 64, 96)))
    prediction, frames = window.decode()
    assert prediction.visible is not None
    assert prediction.visible.shape[1] == len(frames) == config.clip_length + 2
