"""`python -m pilotage.components.distributed NAME`: the training that was handed over, on a cluster's head.

Exit codes are the step's.
"""

from __future__ import annotations

import logging
import sys

from pilotage.components.distributed import handovers
from pilotage.core import settings


def main(name: str) -> int:
    """Carry out the request `name` of the storage."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return handovers.carry_out(settings.load(), name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
