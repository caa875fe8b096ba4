"""`adopt` by a console elsewhere: it reads, and the folder is written here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pilotage.console.adoption import notebooks, writing
from pilotage.console.sessions import Session
from pilotage.console.views import adoptions as views
from pilotage.core import errors, pilots


def adopt(session: Session, file: Path, into: Path | None = None) -> None:
    """Send the code of a notebook, without its outputs, and write the pilot that comes back.

    Raises:
        NotFound: there is no such file.
        InputError, SpecError: it is no notebook, no pilot comes of it, or something is in the way.
    """
    text = _lean(file, notebooks.text_of(file))
    folder = into or Path.cwd() / writing.name_of(file)
    beside = os.path.relpath(file.parent.absolute(), folder.absolute())
    asked = {"file": file.name, "content": text, "into": folder.absolute().name, "beside": beside}
    found = session.remote.post("/adoptions", asked)
    texts = {str(part["name"]): str(part["text"]) for part in found["files"]}
    strange = [name for name in texts if name not in writing.FILES]
    if strange or pilots.FILE_NAME not in texts:
        raise errors.Failure(
            f"The console at {session.remote.url} sent files that no adoption has: {', '.join(strange)}.",
            remedy="See that PILOTAGE_URL names a console of this version.",
        )
    spec = pilots.parse(texts[pilots.FILE_NAME], str(folder / pilots.FILE_NAME))
    notes = [notebooks.Note(**note) for note in found["undecided"]]
    made = writing.Draft(texts, spec, found["decided"], notes)
    adopted = writing.put(made, folder, file)
    session.output.answer(adopted.document, lambda console: views.show(console, adopted))


def _lean(file: Path, text: str) -> str:
    """A notebook without its outputs and pictures, which are not read; anything else as it is."""
    if file.suffix != ".ipynb":
        return text
    try:
        notebook: Any = json.loads(text)
        for sheet in (notebook, *notebook.get("worksheets", ())):
            for cell in sheet.get("cells", ()):
                cell.pop("attachments", None)
                if cell.get("cell_type") == "code":
                    cell["outputs"] = []
        return json.dumps(notebook)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return text  # the console says what is wrong with it
