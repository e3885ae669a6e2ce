"""`python -m everframe`: the same as the command `everframe`."""

import sys

from everframe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
