"""The command `smoothcert`, and `python -m smoothcert`: an interrupt at any instant ends in one line."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from types import FrameType

_LINE = b"smoothcert: interrupted; all that was finished is kept, and the same command continues\n"
_SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it
_INTERRUPTED = 2  # exit code, as of all that is no result


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, _stop)
    from .cli.app import main as command

    try:
        command()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; what is left is closing


def _stop(signum: int, frame: FrameType | None) -> None:
    """End at once: what is on the disk is whole, and an exception would crash libraries that are just starting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + _LINE)
    writing = sys.modules.get("smoothcert.files.writing")
    for folder in list(getattr(writing, "SCRATCH", ())):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
