"""What a command line shows of an error: one line that says what to do, and exit code 1."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from tfmo_drive.contracts import BadInput, BrokenPromise

DISK = "Free some space, or choose another folder with --workdir."
DISK_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT)
DISK_SIGNS = ("No space left", "errno = 28", "Read-only file system", "errno = 30")
"""In the text of what h5py, numpy and TensorFlow raise in OSError's place."""


def guarded(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """`main` with bad input, broken promises and disk errors told in one line instead of a traceback."""

    def run(argv: list[str]) -> int:
        try:
            return main(argv)
        except (BadInput, BrokenPromise) as error:
            print(f"error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            print("stopped; the same command continues from the last finished epoch.", file=sys.stderr)
            return 130
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            advice = f" {DISK}" if error.errno in DISK_ERRORS else ""
            print(f"error: {error.strerror or error}{where}.{advice}", file=sys.stderr)
        except Exception as error:
            if not any(sign in str(error) for sign in DISK_SIGNS):
                raise
            print(f"error: {' '.join(str(error).split())[:200]}. {DISK}", file=sys.stderr)
        return 1

    return run
