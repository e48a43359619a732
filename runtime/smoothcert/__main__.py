"""The command `smoothcert`, and `python -m smoothcert`: an interrupt at any instant ends in one line."""

from __future__ import annotations

import os
import signal
from types import FrameType

_LINE = b"smoothcert: interrupted; all that was finished is kept, and the same command continues\n"
_SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it
_INTERRUPTED = 2  # exit code, as of all that is no result


def main() -> None:
    """Run the command line. The first interrupt lets it close what is open; a second one ends the process at once."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        from .cli import main as command

        command()
    except (Exception, KeyboardInterrupt):  # libraries turn an interrupt during their import into other errors
        if signal.getsignal(signal.SIGINT) is _interrupt:
            raise
        _stop()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; what is left is closing


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, _stop)
    raise KeyboardInterrupt


def _stop(signum: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """End at once: what is on the disk is whole, whenever that is."""
    os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + _LINE)
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
