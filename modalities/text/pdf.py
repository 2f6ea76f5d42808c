"""PDF -> its text layer, with PDFium (the extra [text]) in a process of its own.

PDFium has no limit on time or memory (40 kB can ask for gigabytes, 3 kB for hours) and may crash: the process has limits,
and what it does not survive costs the document only. It is kept for the next one, because starting it takes as long as a
short document. The limit of CPU time is the one verdict here that depends on the machine.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import IO, Any

import orjson

from ...curator.errors import MachineError
from .pdf_process import CPU_SECONDS, MEMORY_BYTES
from .rows import MAX_RECORD_BYTES
from .streams import ReadError

_MODULE = f"{__package__}.pdf_process"


def check_pdf() -> None:
    """Whether PDF can be read here. Raises MachineError when the extra is missing."""
    try:
        missing = find_spec("pypdfium2") is None
    except ValueError:
        missing = True
    if missing:
        raise MachineError("reading PDF needs pypdfium2", hint="pip install 'd4a[text]'")


def read_pdf(data: bytes) -> tuple[str, bytes]:
    """The text of a PDF, a blank line between pages, and its meta: `pages`, and `title` where it has one.

    Line ends are line feeds, and a word that is hyphenated at a line's end stays so; pages without text are left out.
    Raises ReadError where there is no text, or where this machine cannot extract it.
    """
    try:
        check_pdf()
    except MachineError as error:
        raise ReadError("missing_extra", f"{error.what}: {error.hint}") from error
    answer = _process.ask(data)
    if "reason" in answer:
        raise ReadError(answer["reason"], answer["detail"])
    text = str(answer.pop("text"))
    if len(text.encode()) > MAX_RECORD_BYTES:
        raise ReadError("text_too_long", f"the limit is {MAX_RECORD_BYTES} bytes")
    return text, orjson.dumps(answer)


class _Process:
    """The process that holds PDFium: started when it is needed, and anew after it died."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, data: bytes) -> dict[str, Any]:
        """What it says of a document. Raises ReadError where the document ended it."""
        to, answers = self._pipes()
        try:
            to.write(len(data).to_bytes(8, "little") + data)
            to.flush()
            answer = answers.read(int.from_bytes(answers.read(8), "little"))
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise self._died()
        found: dict[str, Any] = orjson.loads(answer)
        return found

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._running is None or self._owner != os.getpid():  # a forked worker must not share its parent's
            # -P: a folder the user stands in must not shadow what it imports
            command = [sys.executable, "-P", "-m", _MODULE]
            path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            pipe = subprocess.PIPE
            self._running = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env={**os.environ, **path})
            self._owner = os.getpid()
        assert self._running.stdin is not None and self._running.stdout is not None
        return self._running.stdin, self._running.stdout

    def _died(self) -> ReadError:
        code = self._end()
        if code == -signal.SIGXCPU:
            return ReadError("pdf_too_slow", f"more than {CPU_SECONDS} s of CPU time")
        how = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        return ReadError("pdf_crashed", f"PDFium ended with {how}, having at most {MEMORY_BYTES >> 20} MiB")

    def close(self) -> None:
        """End it."""
        if self._running is not None and self._owner == os.getpid():
            self._running.kill()  # at the end of its input it would end too, but a forked worker may hold that open
            self._end()

    def _end(self) -> int:
        """Wait for its end; returns its exit code."""
        process, self._running = self._running, None
        assert process is not None
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        return process.wait()


_process = _Process()
atexit.register(_process.close)
