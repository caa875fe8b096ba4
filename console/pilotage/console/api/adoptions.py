"""`/api/v1/adoptions`: the pilot that a notebook or script amounts to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import adoptions
from pilotage.console.operations.adoptions import Adoption
from pilotage.console.operations.listings import Model

router = APIRouter(prefix="/adoptions", tags=["adoptions"])


class Notebook(Model):
    """A notebook or a script."""

    file: Annotated[str, Field(min_length=1, max_length=256)]
    """Its name, without folders; ends in .ipynb or .py."""
    content: str
    """Its text; at most 16 MiB with everything else that is sent."""
    into: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Name of the pilot's folder; after the file when left out."""
    beside: Annotated[str, Field(min_length=1, max_length=1000)] = ".."
    """The notebook's folder as a path from the pilot's, for paths in the code."""


@router.post("")
def adopt(desk: DeskParameter, actor: ActorParameter, notebook: Notebook) -> Adoption:
    """Read a notebook or a script that trains a model; nothing of it is executed or kept."""
    return adoptions.adopt(desk, actor, notebook.file, notebook.content, notebook.into, notebook.beside)
