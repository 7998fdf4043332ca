"""The lifecycle node: wires subscription, queue, worker and publishers, and decides nothing itself."""

import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from a2vis_model import A2VISError

from .models import LoadedModel, ModelRequest, load_model
from .parameters import PARAMETERS, Parameter, ParameterError, Settings
from .stream import ImageStream


class A2visNode(LifecycleNode):
    """Images in, tracked instances out.

    unconfigured → configure: read parameters, load the model, warm up, make publishers → inactive
    inactive → activate: start the worker, subscribe → active
    deactivate and cleanup undo these in the opposite order.

    Args:
        load: makes the model; another one serves benchmarks and tests.
    """

    def __init__(self, load: Callable[[ModelRequest], LoadedModel] = load_model, **node_arguments: Any) -> None:
        super().__init__("a2vis", **node_arguments)
        self._load = load
        for parameter in PARAMETERS:
            self.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
        self._stream: ImageStream | None = None
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
        settings = Settings.check(self._values())
        model = self._load(settings.model)
        self.get_logger().info(
            f"loaded {model.name} from {model.source}: {len(model.classes)} classes on {model.backend}, "
            f"{model.load_s:.1f} s to load, {model.warmup_s:.1f} s to warm up"
        )
        self._stream = ImageStream(self, settings, model)

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

    def _values(self) -> dict[str, Any]:
        return {parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS}

    def _on_parameters(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        """Refuse what cannot be used; apply the rest to a stream that runs."""
        names = {parameter.name for parameter in PARAMETERS}
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in names}
        try:
            if self._stream is not None:
                self._stream.change(changes)
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


def run(load: Callable[[ModelRequest], LoadedModel] = load_model, arguments: Sequence[str] | None = None) -> int:
    """Run a node with this model until it is told to stop; returns the exit status."""
    rclpy.init(args=None if arguments is None else list(arguments))
    try:
        node = A2visNode(load)
    except ParameterException as error:
        print(f"a2vis_node: {error}; see config/a2vis.yaml", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        rclpy.try_shutdown()
    return 0


def main() -> int:
    """The program `a2vis_node`."""
    return run()


if __name__ == "__main__":
    sys.exit(main())
