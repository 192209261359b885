"""Commands of Kedro in processes of their own, forked from one that has imported what they need.

Of a command's first five seconds of processor time four go into imports, the same each time. One process for each of
pytest's workers imports, and waits; a command is a fork of it, with its own folder, environment, arguments and output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

POLL = 0.02
"""Seconds between two looks at whether a command has ended."""


class Forks:
    """The process that forks; it ends with the one that has started it."""

    def __init__(self, folder: Path) -> None:
        """Start it in a folder with a configuration of logging, which Kedro reads when it is imported."""
        self._output = TemporaryDirectory()
        self.folder = Path(self._output.name)
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._number = 0

    def start(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        """Start `kedro` with these arguments in a folder."""
        self._number += 1
        output = [str(self.folder / f"{self._number}.{name}") for name in ("out", "err")]
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        return Command(self, self.ask(request | {"output": output}), output)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Return the answer to a request: the number of a process, or how it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()
        self._output.cleanup()


class Command:
    """A command that was started; as `subprocess.Popen`, as far as tests need it."""

    def __init__(self, forks: Forks, pid: int, output: Sequence[str]) -> None:
        self._forks, self.pid, self._output = forks, pid, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative of a signal; None while the command runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"pid": self.pid})
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end, and return what was said on standard output and on standard error.

        Raises:
            TimeoutError: after `timeout` seconds.
        """
        start = time.monotonic()
        while self.poll() is None:
            if timeout is not None and time.monotonic() - start > timeout:
                raise TimeoutError(f"process {self.pid} has not ended after {timeout} s")
            time.sleep(POLL)
        output, error = (Path(file).read_text() for file in self._output)
        return output, error

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def requests() -> Iterator[dict[str, Any]]:
    """Answer requests in the process that forks; in a fork, yield the one that it is for."""
    for line in sys.stdin:
        request = json.loads(line)
        if "pid" in request:
            ended, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        elif (answer := os.fork()) == 0:
            yield request
            return
        print(json.dumps(answer), flush=True)


def become(request: Mapping[str, Any]) -> None:
    """Take over the folder, environment, arguments and output of a command."""
    for number, file in zip((1, 2), request["output"], strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in ((0, "r"), (1, "w"), (2, "w")))  # noqa: PTH123, SIM115
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["kedro", *request["arguments"]]


if __name__ == "__main__":
    from kedro.framework.cli.cli import main

    import counterpoise.hooks.session
    import counterpoise.pipelines.assemble  # noqa: F401

    for command in requests():
        become(command)
        main()
