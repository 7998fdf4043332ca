"""The lifecycle node: it wires model, worker and the streams of its cameras, and contains no logic of its own."""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from a2vis_model import A2VISError
from a2vis_model.errors import printable

from ..programs.collecting import uncollected
from ..programs.spinning import begin, spin
from ..stream.models import Loader, free_memory
from ..stream.parameters import PARAMETERS, Settings
from ..stream.worker import Worker
from .image_stream import ImageStream
from .managed_node import ManagedNode
from .preparation import Preparation

_LONGEST_NAME = 200
"""Most characters of a network's name in the log; the weight file states it."""


class A2visNode(ManagedNode[ImageStream]):
    """Images in, tracked instances out, for one camera or several that share the model.

    Configuring prepares the model, which takes minutes where an engine is built. All services answer meanwhile,
    get_state with "configuring".

    Args:
        load: function that makes the model: `stream.loading.load_model`, or another one in benchmarks and tests.
        node_arguments: keyword arguments of `rclpy.node.Node`.
    """

    def __init__(self, load: Loader, **node_arguments: Any) -> None:
        self._load = load
        self._preparing: Settings | None = None
        self.interrupted = False
        """Whether a thread still makes a model that is no longer needed."""
        super().__init__("a2vis", PARAMETERS, (A2VISError,), **node_arguments)

    def _configure(self) -> None:
        self._preparing = Settings.check(self._values())
        preparation = Preparation(self, self._preparing, self._load)
        try:
            model = preparation.run()
        finally:
            self._preparing = None
            # Any exception is caught, because a signal ends it by KeyboardInterrupt.
            self.interrupted = not preparation.done
        name = printable(model.name, _LONGEST_NAME)
        self.get_logger().info(
            f"loaded {name} from {model.source}: {len(model.classes)} classes, {model.load_s:.1f} s to load, "
            f"{model.warmup_s:.1f} s to warm up; runs on {model.backend}: {model.reason}"
        )
        # Thresholds may have been changed in the meantime.
        settings, worker = Settings.check(self._values()), Worker()
        for camera in settings.cameras:
            self._streams.append(ImageStream(self, settings, model, worker, camera))
        self._warn_of_misspelt_parameters()

    def _release(self) -> None:
        free_memory()

    def _change(self, changes: Mapping[str, Any]) -> None:
        """Apply changes to the streams, or to the model on its way."""
        if self._streams:
            # All have the same settings, so that what the first refuses has changed nothing.
            for stream in self._streams:
                stream.change(changes)
        elif self._preparing is not None:
            self._preparing = self._preparing.change(changes)
        else:
            Settings.check({**self._values(), **changes})


def run(load: Loader, arguments: Sequence[str] | None = None) -> int:
    """Run a node with this model until it is told to stop; return the exit status."""
    node = begin("a2vis_node", partial(A2visNode, load), arguments, "see config/a2vis.yaml")
    if node is None:
        return 2
    spin(node, node.close)
    if node.interrupted:
        # A thread is building an engine. It cannot be stopped, and an ordinary end would wait for it or crash in it.
        sys.stdout.flush()
        os._exit(0)
    return 0


def main() -> int:
    """Run the program `a2vis_node`."""
    # Imported here, since only this loader needs PyTorch.
    with uncollected():
        from ..stream.loading import load_model

    return run(load_model)


if __name__ == "__main__":
    sys.exit(main())
