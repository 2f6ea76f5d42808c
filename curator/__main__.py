"""Entry point of `d4a`, and `python -m d4a.curator`: answers Ctrl-C from the first moment, and only then imports the command line."""

from __future__ import annotations

import os
import signal
import sys

EXIT_INTERRUPTED = 130  # the other codes are in errors.py, which takes longer to import


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, _interrupted)
    from . import cli

    cli.main()


def _interrupted(number: int, frame: object) -> None:
    """Ctrl-C: ends at once, as a crash would, which costs the units in hand. An exception might be swallowed by whatever runs just now."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    local = sys.modules.get(f"{__package__}.engines.local")  # perhaps half imported
    getattr(local, "kill_all", int)()
    cursor = b"\x1b[?25h\n" if os.isatty(2) else b""  # a live bar hides it
    os.write(2, cursor + b"interrupted; run the same command again: it goes on where it stopped\n")
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
