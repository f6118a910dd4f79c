"""`python -m stages.notify`: the process that sends; the exit handler starts it and writes to its standard input."""

from __future__ import annotations

import sys

from stages.notify.sending import main

if __name__ == "__main__":
    sys.exit(main())
