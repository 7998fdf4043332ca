"""The lifecycle node: it wires subscription, queue, worker and publishers and contains no logic of its own."""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from a2vis_model import A2VISError

from ..programs.spinning import begin, spin
from ..stream.models import Loader, free_memory, load_model
from ..stream.parameters import PARAMETERS, Parameter, ParameterError, Settings
from . import qos
from .compat import RCLError, ServingLifecycleNode
from .image_stream import ImageStream
from .preparation import Preparation


class A2visNode(ServingLifecycleNode):
    """Images in, tracked instances out.

    unconfigured → configure: read parameters, prepare the model, make publishers → inactive
    inactive → activate: start the worker, subscribe → active
    deactivate and cleanup undo these in the opposite order.

    Configuring takes minutes where an engine is built. All services answer meanwhile, get_state with "configuring".

    Args:
        load: function that makes the model; benchmarks and tests use another one.
        node_arguments: keyword arguments of `rclpy.node.Node`.
    """

    def __init__(self, load: Loader = load_model, **node_arguments: Any) -> None:
        super().__init__("a2vis", **node_arguments)
        self._load = load
        self._preparing: Settings | None = None
        self.interrupted = False
        """Whether a thread still makes a model that is no longer needed."""
        for parameter in PARAMETERS:
            self.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
        self._stream: ImageStream | None = None
        if self.get_parameter("autostart").value:
            # It fires as soon as the node is spun, and may run beside its other callbacks, like requested transitions.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            group = ReentrantCallbackGroup()
            self._autostart_timer = self.create_timer(0.0, self._autostart, callback_group=group, clock=clock)
        self.add_on_set_parameters_callback(self._on_parameters)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, prepare the model and make the publishers."""
        return self._transition("configure", self._configure, undo=self._cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the publishers, start the worker and subscribe."""
        return self._transition("activate", partial(self._activate, state), undo=partial(self._deactivate, state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, finish the open clip and close the publishers."""
        return self._transition("deactivate", partial(self._deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model and all topics."""
        return self._transition("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything before the node is finalized."""
        return self._transition("shut down", self._cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything after an error, so that the node can be configured again."""
        return self._transition("recover", self._cleanup)

    def close(self) -> None:
        """Release everything, whatever the state; for the end of the process."""
        self._cleanup()
        self.destroy_node()

    def _autostart(self) -> None:
        """Configure and activate the node itself.

        This needs no name and no client, so it works in any namespace and each time the program is started.
        """
        self._autostart_timer.cancel()
        try:
            started = self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            started = started and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        except RCLError as error:
            self.get_logger().warning(f"autostart: another client has begun a transition: {error}")
            return
        if not started:
            name = self.get_fully_qualified_name()
            commands = f"ros2 lifecycle set {name} configure, then activate"
            self.get_logger().error(f"autostart has failed for the reason above; correct it and run {commands}")

    def _transition(
        self, name: str, action: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Run one transition. Errors are logged here, because rclpy swallows them."""
        try:
            action()
        except (A2VISError, ParameterError, OSError) as error:
            self.get_logger().error(f"cannot {name}: {error}")
        except Exception:
            self.get_logger().error(f"cannot {name}:\n{traceback.format_exc()}")
        else:
            return TransitionCallbackReturn.SUCCESS
        if undo is not None:
            undo()
        return TransitionCallbackReturn.FAILURE

    def _configure(self) -> None:
        self._preparing = Settings.check(self._values())
        preparation = Preparation(self, self._preparing, self._load)
        try:
            model = preparation.run()
        finally:
            self._preparing = None
            # Any exception is caught, because a signal ends it by KeyboardInterrupt.
            self.interrupted = not preparation.done
        self.get_logger().info(
            f"loaded {model.name} from {model.source}: {len(model.classes)} classes, {model.load_s:.1f} s to load, "
            f"{model.warmup_s:.1f} s to warm up; runs on {model.backend}: {model.reason}"
        )
        # Thresholds may have been changed in the meantime.
        settings = Settings.check(self._values())
        model.tracker.set_track_settings(settings.tracks)
        self._stream = ImageStream(self, settings, model)
        self._warn_of_misspelt_parameters()

    def _activate(self, state: LifecycleState) -> None:
        assert self._stream is not None
        # Publishers are activated first, so that the first result finds them open.
        super().on_activate(state)
        self._stream.start()

    def _deactivate(self, state: LifecycleState) -> None:
        if self._stream is not None:
            self._stream.stop()
        super().on_deactivate(state)

    def _cleanup(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        free_memory()

    def _warn_of_misspelt_parameters(self) -> None:
        """Warn of unknown parameters, which ROS accepts silently; some may belong to other nodes."""
        known = self.list_parameters([], 0).names
        for name in sorted(self.given_parameters() - set(known)):
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                self.get_logger().warning(f"there is no parameter {name!r}, and it has no effect; is {near} meant?")

    def _values(self) -> dict[str, Any]:
        return {parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS}

    def _on_parameters(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse values that cannot be used, and apply the others to a running stream."""
        names = {parameter.name for parameter in PARAMETERS}
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in names}
        try:
            for parameter in parameters:
                # Values that were given at the start are checked when the topic is made.
                if parameter.name.startswith("qos_overrides.") and self.has_parameter(parameter.name):
                    qos.override(parameter.name, parameter.value)
            if self._stream is not None:
                self._stream.change(changes)
            elif self._preparing is not None:
                self._preparing = self._preparing.change(changes)
            else:
                Settings.check(self._values() | changes)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    choices = f"; one of {', '.join(parameter.choices)}" if parameter.choices else ""
    dynamic = "" if parameter.dynamic else "; read when the node is configured"
    descriptor = ParameterDescriptor(
        description=f"{parameter.description}{choices}{dynamic}",
        # An integer may be given for a float; `Parameter.check` knows the types.
        dynamic_typing=isinstance(parameter.default, float),
    )
    if parameter.lowest is not None and parameter.highest is not None:
        if isinstance(parameter.default, float):
            span = FloatingPointRange(from_value=float(parameter.lowest), to_value=float(parameter.highest))
            descriptor.floating_point_range.append(span)
        else:
            reach = IntegerRange(from_value=int(parameter.lowest), to_value=int(parameter.highest))
            descriptor.integer_range.append(reach)
    return descriptor


def run(load: Loader = load_model, arguments: Sequence[str] | None = None) -> int:
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
    return run()


if __name__ == "__main__":
    sys.exit(main())
