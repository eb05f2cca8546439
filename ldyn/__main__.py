"""`python -m ldyn` is `ldyn`."""

import sys

from ldyn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
