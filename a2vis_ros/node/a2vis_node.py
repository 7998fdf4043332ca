"""The lifecycle node: wires subscription, queue, worker and publishers, and decides nothing itself."""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from a2vis_model import A2VISError

from ..programs.spinning import begin, spin
from ..stream.models import Loader, free_memory, load_model
from ..stream.parameters import PARAMETERS, Settings
from .image_stream import ImageStream
from .managed_node import ManagedNode
from .preparation import Preparation


class A2visNode(ManagedNode):
    """Images in, tracked instances out.

    unconfigured → configure: read parameters, make the model ready, make publishers → inactive
    inactive → activate: start the worker, subscribe → active
    deactivate and cleanup undo these in the opposite order.

    Configuring takes minutes where an engine is built. All services answer meanwhile, get_state with "configuring".

    Args:
        load: makes the model; another one serves benchmarks and tests.
    """

    def __init__(self, load: Loader = load_model, **node_arguments: Any) -> None:
        self._load = load
        self._preparing: Settings | None = None
        self.interrupted = False
        """Whether a thread still makes a model that nobody waits for any more."""
        self._stream: ImageStream | None = None
        super().__init__("a2vis", PARAMETERS, (A2VISError,), **node_arguments)

    def _configure(self) -> None:
        self._preparing = Settings.check(self._values())
        preparation = Preparation(self, self._preparing, self._load)
        try:
            model = preparation.run()
        finally:
            self._preparing = None
            # Whatever has ended it: a signal does so by KeyboardInterrupt.
            self.interrupted = not preparation.done
        self.get_logger().info(
            f"loaded {model.name} from {model.source}: {len(model.classes)} classes, {model.load_s:.1f} s to load, "
            f"{model.warmup_s:.1f} s to warm up; runs on {model.backend}: {model.reason}"
        )
        # Thresholds may have been changed meanwhile.
        settings = Settings.check(self._values())
        model.tracker.set_track_settings(settings.tracks)
        self._stream = ImageStream(self, settings, model)
        self._warn_of_misspelt_parameters()

    def _start(self) -> None:
        assert self._stream is not None
        self._stream.start()

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.stop()

    def _cleanup(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        free_memory()

    def _change(self, changes: Mapping[str, Any]) -> None:
        """Apply changes to a stream that runs, or to the model on its way."""
        if self._stream is not None:
            self._stream.change(changes)
        elif self._preparing is not None:
            self._preparing = self._preparing.change(changes)
        else:
            Settings.check({**self._values(), **changes})


def run(load: Loader = load_model, arguments: Sequence[str] | None = None) -> int:
    """Run a node with this model until it is told to stop; returns the exit status."""
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
    """The program `a2vis_node`."""
    return run()


if __name__ == "__main__":
    sys.exit(main())
