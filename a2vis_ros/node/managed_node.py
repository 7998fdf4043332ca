"""What the lifecycle nodes share: parameters of a table, streams, transitions that say what went wrong, autostart."""

import difflib
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from ..programs.parameter_table import Parameter, ParameterError
from . import qos
from .compat import RCLError, ServingLifecycleNode


class Stream(Protocol):
    """Stream from one source to its outputs, made when the node is configured, with publishers that are open."""

    def start(self) -> None:
        """Take input."""

    def stop(self) -> None:
        """Take no more input; also where it was not started."""

    def close(self) -> None:
        """Stop, and let go of everything."""


StreamT = TypeVar("StreamT", bound=Stream)
"""Streams of one kind of node."""


class ManagedNode(ServingLifecycleNode, Generic[StreamT]):
    """A lifecycle node whose parameters are those of a table, `autostart` among them.

    unconfigured → configure: make the streams → inactive
    inactive → activate: start them → active
    deactivate stops them, and cleanup, which is allowed in any state, closes them.

    A node that derives from it makes its streams in `_configure`.

    Args:
        name: name of the node.
        parameters: their table.
        expected: errors that are the user's to mend, said without a traceback.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[Parameter],
        expected: tuple[type[Exception], ...] = (),
        **node_arguments: Any,
    ) -> None:
        super().__init__(name, **node_arguments)
        self._streams: list[StreamT] = []
        self._table = tuple(parameters)
        self._expected: tuple[type[Exception], ...] = (ParameterError, OSError, *expected)
        for parameter in parameters:
            self.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
        if self.get_parameter("autostart").value:
            # As soon as somebody spins the node. Beside its other callbacks, like the transitions that are asked for.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            group = ReentrantCallbackGroup()
            self._autostart_timer = self.create_timer(0.0, self._autostart, callback_group=group, clock=clock)
        self.add_on_set_parameters_callback(self._on_parameters)

    def _configure(self) -> None:
        """Add to `_streams`, one by one; a configuration that fails is cleaned up."""
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of what `_configure` made beside the streams, which are closed by then; whatever the state."""
        raise NotImplementedError

    def _change(self, changes: Mapping[str, Any]) -> None:
        """Take other values for some of the table's parameters; raises ParameterError for what cannot be used."""
        raise NotImplementedError

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure the node: `_configure`, undone by `_cleanup` where it fails."""
        return self._transition("configure", self._configure, undo=self._cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate the node: `_activate`, undone by `_deactivate` where it fails."""
        return self._transition("activate", partial(self._activate, state), undo=partial(self._deactivate, state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate the node."""
        return self._transition("deactivate", partial(self._deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything that configuring made."""
        return self._transition("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, in any state."""
        return self._transition("shut down", self._cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything after a failed transition."""
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
        except self._expected as error:
            self.get_logger().error(f"cannot {name}: {error}")
        except Exception:
            self.get_logger().error(f"cannot {name}:\n{traceback.format_exc()}")
        else:
            return TransitionCallbackReturn.SUCCESS
        if undo is not None:
            undo()
        return TransitionCallbackReturn.FAILURE

    def _activate(self, state: LifecycleState) -> None:
        # Publishers first, so that the first result finds them open.
        super().on_activate(state)
        for stream in self._streams:
            stream.start()

    def _deactivate(self, state: LifecycleState) -> None:
        for stream in self._streams:
            stream.stop()
        super().on_deactivate(state)

    def _cleanup(self) -> None:
        while self._streams:
            self._streams.pop().close()
        self._release()

    def _warn_of_misspelt_parameters(self) -> None:
        """ROS takes parameters that a node does not know without a word; those of other nodes may be among them."""
        known = self.list_parameters([], 0).names
        for name in sorted(self.given_parameters() - set(known)):
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.8):
                self.get_logger().warning(f"there is no parameter {name!r}, and it has no effect; is {near} meant?")

    def _values(self) -> dict[str, Any]:
        return {parameter.name: self.get_parameter(parameter.name).value for parameter in self._table}

    def _on_parameters(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse what cannot be used; apply the rest to a stream that runs."""
        names = {parameter.name for parameter in self._table}
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in names}
        try:
            for parameter in parameters:
                # What was given from the beginning is checked when the topic is made.
                if parameter.name.startswith("qos_overrides.") and self.has_parameter(parameter.name):
                    qos.override(parameter.name, parameter.value)
            self._change(changes)
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
