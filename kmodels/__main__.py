"""python -m kmodels COMMAND"""

import sys

from kmodels.cli import main

sys.exit(main())
