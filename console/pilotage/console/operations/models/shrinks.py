"""What people may have of smaller models beside their studies: the bundle of a version, for the edge."""

from __future__ import annotations

from pilotage.console.access.actors import Actor
from pilotage.console.operations import pilots
from pilotage.console.operations.desks import Desk
from pilotage.core import errors, forms
from pilotage.core.registry.clients import FORM_TAG


def make_bundle(desk: Desk, actor: Actor, pilot: str, version: int) -> bytes:
    """A version as a zip that onnxruntime alone can run; the same bytes each time.

    Raises:
        NotFound: there is no such version, or not for this actor.
        Conflict: it has no inference form.
    """
    from pilotage.components.shrinking.edge import bundles

    pilots.get_pilot(desk, actor, pilot)
    registered = desk.registry.version(pilot, version)
    folder = desk.registry.folder(registered)
    model = desk.registry.model(registered)
    found = forms.open_form(folder, model)
    if found is None:
        why = registered.tags.get(FORM_TAG, "it has none").removeprefix("refused: ")
        raise errors.Conflict(
            f"Version {version} of `{pilot}` has no inference form: {why}",
            remedy=f"`pilotage shrink {pilot} --version {version}` makes a smaller model that has one.",
        )
    graph = (folder / forms.FOLDER / forms.GRAPH).read_bytes()
    return bundles.zipped(bundles.contents(found.form, graph, model, str(version)))
