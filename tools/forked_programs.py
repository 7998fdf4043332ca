"""Starts programs of this package in processes forked from one that has imported them.

An import of PyTorch takes seconds, and longer on busy cores; whoever starts a program hundreds of times waits for
little else. The processes are otherwise as any: a session of their own, their own arguments, their usual end.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


class ForkedPrograms:
    """Programs of some modules; use it in a `with` statement, at whose end those that still run are killed.

    Args:
        modules: each with a function `main`, which takes the program's arguments from `sys.argv`.
        environment: of all processes.
    """

    def __init__(self, modules: Sequence[str], environment: dict[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()  # the modules are imported

    def __enter__(self) -> "ForkedPrograms":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate("")

    def start(self, module: str, arguments: Sequence[object], log: Path) -> int:
        """Run a program, which writes what it says to `log`; its process ID."""
        return self._ask(start=[module, *map(str, arguments)], log=str(log))

    def wait(self, pid: int) -> int:
        """Wait for the end of a program: its exit status, or minus the signal that ended it."""
        return self._ask(wait=pid)

    def has_ended(self, pid: int) -> bool:
        """Whether a program has ended; `wait` is still to be called."""
        return bool(self._ask(ended=pid))

    def _ask(self, **request: object) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that starts programs ended with status {self._server.wait()}")
        return int(line)


def _serve(answers: int) -> str | None:
    """Answer requests from standard input; returns in every new process the module that it is to run."""
    running: set[int] = set()
    os.write(answers, b"0\n")
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "start" in request:
            if not (pid := os.fork()):
                os.close(answers)
                _become(request["start"], request["log"])
                return str(request["start"][0])
            running.add(pid)
            answer = pid
        elif "ended" in request:
            # WNOWAIT leaves the status for the call that waits.
            answer = int(os.waitid(os.P_PID, request["ended"], os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            running.remove(request["wait"])
        os.write(answers, f"{answer}\n".encode())
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def _become(command: Sequence[str], log: str) -> None:
    """Take on what makes a program: its session, standard streams and arguments."""
    os.setsid()
    for path, flags, stream in ((os.devnull, os.O_RDONLY, 0), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 1)):
        file = os.open(path, flags, 0o600)
        os.dup2(file, stream)
        os.close(file)
    os.dup2(1, 2)
    sys.argv = list(command)


if __name__ == "__main__":
    # What the modules print while they are imported must not be taken for answers.
    own_answers = os.dup(1)
    os.dup2(2, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    chosen = _serve(own_answers)
    sys.exit(0 if chosen is None else importlib.import_module(chosen).main())
