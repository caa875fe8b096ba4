"""`python -m pilotage.console`: the command line where the `pilotage` script is not on the path."""

from __future__ import annotations

from pilotage.console.cli import main

if __name__ == "__main__":
    main()
