"""What every contender's script shares: repeat, time, and tell verdicts and peak memory as one JSON document."""

import json
import resource
import sys
import time


def tell(validate) -> None:
    """Call `validate(table, suite)` as often as asked; it gives a verdict an expectation, in order."""
    table, suite, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        verdicts = validate(table, suite)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "verdicts": verdicts, "peak_mb": peak}))
