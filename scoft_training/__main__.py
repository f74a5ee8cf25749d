"""`python -m scoft_training` is the command `scoft`."""

import sys

from .cli import main

sys.exit(main())
