"""How many synthetic rows of which class a pilot wants beside its training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pilotage.components.synthesis import synthesizers
from pilotage.core.specs import Augment


def counts(wanted: Augment, classes: Mapping[Any, int]) -> dict[Any, int]:
    """Rows to add by class, given the training rows by class; of regression the class is None.

    Raises:
        DataError: a class is named that there is not.
    """
    if wanted.rows:
        return spread(wanted.rows, classes)
    if wanted.balance:
        most = max(classes.values())
        return {name: most - rows for name, rows in classes.items() if rows < most}
    shares = {synthesizers.named(classes, text): share for text, share in wanted.classes.items()}
    while shares:
        total = sum(rows for name, rows in classes.items() if name not in shares) / (1 - sum(shares.values()))
        short = [name for name, share in shares.items() if share * total < classes[name]]
        if not short:
            return {
                name: added
                for name, share in shares.items()
                if (added := math.ceil(round(share * total, 6)) - classes[name]) > 0
            }
        for name in short:  # has its share without more, and so counts among the others
            del shares[name]
    return {}


def spread(rows: int, classes: Mapping[Any, int]) -> dict[Any, int]:
    """`rows` over the classes as the training rows are, by largest remainders."""
    total = sum(classes.values())
    exact = {name: rows * held / total for name, held in classes.items()}
    found = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (found[name] - exact[name], str(name)))
    for name in rest[: rows - sum(found.values())]:
        found[name] += 1
    return {name: count for name, count in found.items() if count}
