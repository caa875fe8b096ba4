"""How much memory a model's form takes in a process of its own: this module, run with the form's folder.

It imports what a server needs to answer with a form and nothing more, so that it is quick and adds
nothing that a server would not have. Linux tells resident memory; elsewhere there is none to tell.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pilotage.core import embeddings, errors, features, forms, settings
from pilotage.core.artifacts import Model

STATUS = Path("/proc/self/status")
ROWS_FILE = "rows.json"


def resident_bytes() -> int:
    """Resident memory of this process."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise errors.Failure("This system does not tell how much memory a process has.")


def measure(folder: Path) -> int:
    """What opening the form in `folder` and answering its rows adds to this process."""
    import onnxruntime  # noqa: F401 - a server has it, whatever it serves

    model = Model.read(folder)
    columns = features.from_rows(model.features, json.loads((folder / ROWS_FILE).read_bytes()))
    before = resident_bytes()
    encoders = embeddings.open_all(model.encoders, settings.load()) if model.encoders else ()
    found = forms.open_form(folder, model)
    if found is None:
        raise errors.DataError("The form cannot be opened.")
    found.predict(columns)
    del encoders
    return max(resident_bytes() - before, 0)


if __name__ == "__main__":
    sys.stdout.write(str(measure(Path(sys.argv[1]))))
