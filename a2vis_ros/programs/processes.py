"""Running other programs."""

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PATIENCE_S = 30.0


@contextmanager
def running(
    command: Sequence[str],
    log: BinaryIO | None = None,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the background; at the end of the block it is interrupted, and after 30 s killed.

    Args:
        command: the program and its arguments.
        log: file for its output; None for that of this process.
        cwd: its working folder; None for that of this process.
        env: its environment; None for that of this process.
    """
    program = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, env=env)
    try:
        yield program
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGINT)
        try:
            program.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
