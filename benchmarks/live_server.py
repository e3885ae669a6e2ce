"""A live server in a process of its own: started, watched, its log read, and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.made_path import MadePath

TOKEN = "made-path"
"""The far end of a path is not this machine, so its server demands one."""
WRONG = ("error", "critical")


class LiveServer:
    """`everframe live`, for `with`; at the far end of a path if one is given."""

    def __init__(self, *options: str, path: MadePath | None = None) -> None:
        """With these further options of the command line."""
        python = (sys.executable, "-m", "everframe", "live", "--no-open", "--port", "0")
        words = (*python, "--log-json", *options)
        self.token = TOKEN if path is not None else ""
        if path is not None:
            words = (*words, "--host", path.far, "--token", TOKEN)
        self._command = path.command(*words) if path is not None else list(words)
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - lives as long
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Start it, and wait until its model is warm.

        Raises:
            RuntimeError: it ended at once; the message holds its log.
        """
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, _, value = line.strip().partition("page ")
            if not name and value:
                self.url = value.strip().partition("#")[0].rstrip("/")
                return self
        self._log.seek(0)
        raise RuntimeError(f"the server did not start: {self._log.read()}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def resident_mb(self) -> float:
        """Its memory, MB."""
        assert self._process is not None
        statm = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_s(self) -> float:
        """Processor time that it has used, seconds."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def wrongs(self) -> list[str]:
        """Lines of its log that tell of an error, and all lines that are not of the server's own
        log, such as those of an exception nobody caught.
        """
        self._log.seek(0)
        return [line for line in self._log.read().splitlines() if _is_wrong(line)]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A JSON request.

        Raises:
            urllib.error.HTTPError: it is refused.
        """
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())


def _is_wrong(line: str) -> bool:
    try:
        return json.loads(line)["level"] in WRONG
    except (ValueError, KeyError, TypeError):
        return bool(line.strip())
