"""Doing the work of the studies in order, until all is done or the time is over."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .context import Context, OutOfTime, Unit, is_done, write_result


def run_units(context: Context, units: Sequence[Unit]) -> int:
    """Do what is not done yet; a unit begins only before the deadline. Return the number of units that are left."""
    for position, unit in enumerate(units, 1):
        if is_done(context, unit):
            continue
        if time.monotonic() >= context.deadline:
            break
        print(f"{position}/{len(units)} {unit.study}/{unit.name}", flush=True)
        try:
            write_result(context, unit, unit.run(context))
        except OutOfTime:
            break
    return sum(not is_done(context, unit) for unit in units)
