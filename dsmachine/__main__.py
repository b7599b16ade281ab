"""``python -m dsmachine`` is the command ``dsmachine``."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
