"""Progress display of a run, and stopping it by signals."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from ..extras import remedy
from . import distributed

_LOG_EVERY = 10
_ECHO_SECONDS = 2.0


class StopSignals:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after the current step; a later Ctrl-C is immediate."""

    def __init__(self) -> None:
        self.requested = False
        self._requested_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.requested:
            # `torchrun` passes on a Ctrl-C that the terminal has already sent to all processes; that is no second one.
            if number == signal.SIGINT and time.monotonic() - self._requested_at > _ECHO_SECONDS:
                raise KeyboardInterrupt
            return
        self.requested, self._requested_at = True, time.monotonic()
        text = "stopping after this step; press Ctrl-C again to stop at once, without a checkpoint"
        tqdm.write(text, file=sys.stderr)

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Monitor:
    """Progress bar with the remaining time, and TensorBoard curves where it is installed; in the first process only.

    Args:
        output: folder of the run; curves go to `tensorboard` inside.
        start: number of steps done before.
        steps: total number of steps.
    """

    def __init__(self, output: Path, start: int, steps: int) -> None:
        first = distributed.rank() == 0
        # The bar is redrawn often on a terminal, rarely in a log file.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(total=steps, initial=start, unit="step", mininterval=interval, disable=not first)
        self._writer = self._open_writer(output / "tensorboard", start) if first else None

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def step(self, step: int, losses: Mapping[str, float], norm: float, rate: float) -> None:
        """Show a step's losses, the gradient's norm before clipping and the learning rate."""
        self._bar.update()
        if step % _LOG_EVERY:
            return
        total = sum(losses.values())
        self._bar.set_postfix_str(f"loss {total:.2f}", refresh=False)
        if self._writer is not None:
            curves = {f"loss/{name}": value for name, value in losses.items()}
            curves |= {"loss/total": total, "gradient norm": norm, "learning rate": rate}
            for name, value in curves.items():
                self._writer.add_scalar(name, value, step)

    def validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Show a validation's results."""
        text = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        tqdm.write(f"step {step}: quality of masks: {text}", file=sys.stderr)
        if self._writer is not None:
            for name, value in scores.items():
                self._writer.add_scalar(f"quality/{name}", value, step)

    @staticmethod
    def _open_writer(folder: Path, start: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            tqdm.write(f"no curves without TensorBoard; to install it: {remedy('tensorboard')}", file=sys.stderr)
            return None
        # This replaces what an interrupted run wrote after its last checkpoint.
        return SummaryWriter(str(folder), purge_step=start + 1)
