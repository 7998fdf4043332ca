"""Periodic publication of a report on /diagnostics."""

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from a2vis_model.errors import printable

from ..programs.reports import Report

_LONGEST = 1000
"""Most characters of a message, a key and a value: a net for texts from outside that nobody has cut before."""


class StatusPublisher:
    """Publishes until it is closed. Each text is one line of limited length, whatever the report holds.

    Args:
        node: node whose status is reported.
        name: name of the status, such as "a2vis: tracking".
        hardware_id: topic of the images.
        period_s: seconds between messages, by a clock that simulated time cannot stop.
        report: called for each message.
    """

    def __init__(self, node: Node, name: str, hardware_id: str, period_s: float, report: Callable[[], Report]) -> None:
        self._node = node
        self._name = name
        self._hardware_id = hardware_id
        self._report = report
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(period_s, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        report = self._report()
        status = DiagnosticStatus(
            level=bytes([report.level]),
            name=self._name,
            message=printable(report.message, _LONGEST),
            hardware_id=self._hardware_id,
            values=[
                KeyValue(key=printable(key, _LONGEST), value=printable(value, _LONGEST)) for key, value in report.values
            ],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
