"""The localizer's report on itself."""

import time

from a2vis_ros.programs.reports import Level
from a2vis_ros.space.books import Books, LocalizerStatus, report

STATUS = LocalizerStatus(
    state="active", fixed_frame="odom", ground="none", depth="raw on /depth", waiting=0, silence="", age_warn_s=0.3
)


def test_losses_in_transport_are_an_alarm_for_a_while() -> None:
    books, now = Books(), time.monotonic()
    assert report(STATUS, books).level == Level.OK
    books.lose("/depth", 2, now - 100)
    assert report(STATUS, books).level == Level.OK
    books.lose("/a2vis/tracks", 1, now)
    books.lose("/depth", 3, now)
    found = report(STATUS, books)
    assert found.level == Level.WARN
    assert found.message.startswith("3 messages on /depth lost in transport in 30 s; ")
    assert "qos_overrides./depth.subscription.reliability" in found.message
    assert dict(found.values)["lost_in_transport"] == "6"
