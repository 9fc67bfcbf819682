"""The real zygote, whose runners know the fake kind of work item: `python -m ... SOCKET`."""

from __future__ import annotations

import sys

from tests.integration.worker.handlers import KIND, handle
from worker.items import HANDLERS
from worker.supervision.zygote import main

if __name__ == "__main__":
    HANDLERS[KIND] = handle
    main(sys.argv[1])
