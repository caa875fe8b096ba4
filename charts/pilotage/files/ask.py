"""Asked by `helm test`: do the console and MLflow say that they are ready? Standard library alone."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

ATTEMPTS = 20


def ready(url: str) -> str:
    """Why what is at `url` is not ready; empty when it is."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own Services
            return "" if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def main(urls: list[str]) -> int:
    """Ask each until it is ready; the exit code."""
    for url in urls:
        for _ in range(ATTEMPTS):
            why = ready(url)
            if not why:
                break
            time.sleep(3)
        sys.stdout.write(f"{url}: {why or 'ready'}\n")
        if why:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
