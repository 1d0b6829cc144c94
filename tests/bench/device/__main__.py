"""Also where not every bench has what it needs: `python -m tests.bench.device`."""

import sys

from tests.bench.device.running import main

sys.exit(main(sys.argv[1:]))
