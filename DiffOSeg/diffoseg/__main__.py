"""``python -m diffoseg``: the same as the command ``diffoseg``."""

import sys

from .commands.command_line import main

sys.exit(main())
