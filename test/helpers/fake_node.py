"""The node with a model that costs what a test wants; run by `ros_helpers.process("fake_node", ...)`."""

import sys
import time
from pathlib import Path

from scripted_tracker import ScriptedTracker

from a2vis_model import FrameResult
from a2vis_ros.node.a2vis_node import run
from a2vis_ros.stream.image_decoding import Pixels
from a2vis_ros.stream.models import LoadedModel, ModelRequest, ReportProgress


class CostlyTracker(ScriptedTracker):
    """An image's first pixel is its cost in milliseconds; with a second value above 0 the stride divides it.

    Every image is answered at once, so that nothing but the cost makes results old.
    """

    def __init__(self) -> None:
        super().__init__()
        self._divisor = 1

    def set_stride(self, stride: int) -> None:
        self._divisor = stride

    def push(self, image: Pixels, timestamp: float) -> list[FrameResult]:
        milliseconds, divided, _ = image[0, 0].tolist()
        time.sleep(milliseconds / 1000 / (self._divisor if divided else 1))
        return super().push(image, timestamp)


def load(request: ModelRequest, progress: ReportProgress) -> LoadedModel:
    """Made at once; with an `engine_cache`, as if an engine was built until that path exists."""
    if request.engine_cache:
        # Imported here, since nodes that build nothing need no PyTorch, whose import takes most of a start.
        import torch

        progress("building an engine")
        image, layer = torch.randn(1, 3, 64, 64), torch.nn.Conv2d(3, 16, 3)
        while not Path(request.engine_cache).exists():
            # Work of torch's own threads, as building is: the program must not end in it.
            layer(image).sum().backward()
    return LoadedModel(lambda tracks: CostlyTracker(), 4, "fake", "nothing", "fake/cpu", ("thing",), engine="0123abcd")


if __name__ == "__main__":
    sys.exit(run(load))
