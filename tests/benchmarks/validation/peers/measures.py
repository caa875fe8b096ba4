"""What every contender's script shares: repeat, time, and tell times and verdicts as one JSON document."""

from __future__ import annotations

import json
import sys
import time


def tell(validate) -> None:
    """Call `validate(table, suite)` as often as asked; it gives a verdict an expectation, in order."""
    table, suite, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seconds, processor = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        verdicts = validate(table, suite)
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "verdicts": verdicts}))
