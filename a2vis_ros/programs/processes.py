"""Programs started and stopped by ours."""

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
    """A program that is interrupted, as by Ctrl-C, at the end of the block, and killed if it does not end within 30 s.

    Args:
        command: the program and its arguments.
        log: file that takes what it says, if not the screen.
        cwd: folder it runs in, if not ours.
        env: its environment, if not ours.
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
