"""The lifecycle node: wires subscription, queue, worker and publishers, and decides nothing itself."""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from a2vis_model import A2VISError

from ..programs.spinning import begin, spin
from ..stream.models import Loader, free_memory, load_model
from ..stream.parameters import PARAMETERS, Parameter, ParameterError, Settings
from . import qos
from .image_stream import ImageStream
from .preparation import Preparation

RCLError = rclpy_implementation.RCLError


class A2visNode(LifecycleNode):
    """Images in, tracked instances out.

    unconfigured → configure: read parameters, make the model ready, make publishers → inactive
    inactive → activate: start the worker, subscribe → active
    deactivate and cleanup undo these in the opposite order.

    Configuring takes minutes where an engine is built. All services answer meanwhile, get_state with "configuring".

    Args:
        load: makes the model; another one serves benchmarks and tests.
    """

    def __init__(self, load: Loader = load_model, **node_arguments: Any) -> None:
        # In place of LifecycleNode's own, which cannot say that a transition may run beside other services.
        Node.__init__(self, "a2vis", **node_arguments)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._try_transition = self._service_change_state.callback
        self._service_change_state.callback = self._serve_transition
        self._load = load
        self._preparing: Settings | None = None
        self.interrupted = False
        """Whether a thread still makes a model that nobody waits for any more."""
        for parameter in PARAMETERS:
            self.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
        self._stream: ImageStream | None = None
        if self.get_parameter("autostart").value:
            # As soon as somebody spins the node. Beside its other callbacks, like the transitions that are asked for.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            group = ReentrantCallbackGroup()
            self._autostart_timer = self.create_timer(0.0, self._autostart, callback_group=group, clock=clock)
        self.add_on_set_parameters_callback(self._on_parameters)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, undo=self._cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", partial(self._activate, state), undo=partial(self._deactivate, state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", partial(self._deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shut down", self._cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("recover", self._cleanup)

    def close(self) -> None:
        """Let go of everything, whatever the state; for the end of the process."""
        self._cleanup()
        self.destroy_node()

    def _autostart(self) -> None:
        """Needs no name and no client, so it works in any namespace and each time that the program is started."""
        self._autostart_timer.cancel()
        try:
            started = self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            started = started and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        except RCLError as error:
            self.get_logger().warning(f"autostart: somebody else has begun to: {error}")
            return
        if not started:
            name = self.get_fully_qualified_name()
            commands = f"ros2 lifecycle set {name} configure, then activate"
            self.get_logger().error(f"autostart has failed for the reason above; mend it and say {commands}")

    def _transition(
        self, name: str, action: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Run one transition. rclpy swallows what a callback raises, so it is said here."""
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

    def _activate(self, state: LifecycleState) -> None:
        assert self._stream is not None
        # Publishers first, so that the first result finds them open.
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

    def _serve_transition(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """A transition that the state does not allow is refused; rclpy would let it end the program."""
        try:
            return self._try_transition(request, response)
        except RCLError as error:
            self.get_logger().warning(f"transition {request.transition.id} is refused in this state: {error}")
            response.success = False
            return response

    def _warn_of_misspelt_parameters(self) -> None:
        """ROS takes parameters that a node does not know without a word; those of other nodes may be among them."""
        known = self.list_parameters([], 0).names
        for name in sorted(set(self._parameter_overrides) - set(known)):
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                self.get_logger().warning(f"there is no parameter {name!r}, and it has no effect; is {near} meant?")

    def _values(self) -> dict[str, Any]:
        return {parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS}

    def _on_parameters(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse what cannot be used; apply the rest to a stream that runs."""
        names = {parameter.name for parameter in PARAMETERS}
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in names}
        try:
            for parameter in parameters:
                # What was given from the beginning is checked when the topic is made.
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
        # A whole number may be given for a fraction; `Parameter.check` knows the types.
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
