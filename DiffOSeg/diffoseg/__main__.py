"""``python -m diffoseg``: the same as the command ``diffoseg``."""

import sys

from .cli import main

sys.exit(main())
