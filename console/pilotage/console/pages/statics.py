"""The files that pages load: our own, and htmx and Plotly out of their Python packages.

Nothing is copied into the repository and nothing comes from another host. A
file's address holds its digest, so a browser keeps it for ever and still gets
a new one at once. Compressed forms are made once, on first use.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import mimetypes
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from fastapi import APIRouter, Request, Response

from pilotage.core import errors

router = APIRouter()

_OWN = Path(__file__).parent / "static"
_PACKAGED = {
    "htmx.js": ("js_lib_htmx", "static/htmx/htmx.min.js"),
    "plotly.js": ("plotly", "package_data/plotly.min.js"),
}
"""Package and path in it, by the name we serve it under."""
_COMPRESSED = ("text/", "application/javascript", "image/svg+xml")
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Static:
    """One file as it is sent."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()

    @cached_property
    def digest(self) -> str:
        """The beginning of its SHA-256."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @cached_property
    def media_type(self) -> str:
        """Its type; text is UTF-8."""
        found = mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"
        return f"{found}; charset=utf-8" if found.startswith("text/") else found

    @cached_property
    def compressed(self) -> bytes | None:
        """Its bytes under gzip; None where that is of no use."""
        if not self.media_type.startswith(_COMPRESSED):
            return None
        return gzip.compress(self.content, 6, mtime=0)


@cache
def _all() -> dict[str, Static]:
    """The files by name; names are fixed at the first use, so no request reaches another path."""
    own = {path.name: Static(path) for path in sorted(_OWN.iterdir()) if path.is_file()}
    return own | {name: Static(_path_in(*place)) for name, place in _PACKAGED.items()}


def _path_in(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported.

    Raises:
        SettingsError: the package is not there.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise errors.SettingsError(
            f"The package `{package}`, which the pages need, is not installed.",
            remedy='Install the console with `pip install "pilotage[console]"`.',
        )
    return Path(found.submodule_search_locations[0]) / path


def address(name: str) -> str:
    """The address of a file in a page, with its digest."""
    return f"/static/{name}?v={_all()[name].digest}"


@router.get("/static/{name}")
def get_static(request: Request, name: str) -> Response:
    """One file."""
    found = _all().get(name)
    if found is None:
        raise errors.NotFound(f"There is no file `{name[:80]}`.", remedy="Load the page anew.")
    tag = f'"{found.digest}"'
    current = request.query_params.get("v") == found.digest
    headers = {
        "ETag": tag,
        "Vary": "Accept-Encoding",
        "Cache-Control": _FOR_EVER if current else "no-cache",
        "Content-Type": found.media_type,
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if found.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(found.content, headers=headers)
