"""``python -m hrd``."""

import sys

from hrd.cli.main import main

sys.exit(main())
