"""Pull requests on GitHub, by its REST API of 2022-11-28."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pilotage.core.settings import Settings
from pilotage.pipelines.releases import credentials, links
from pilotage.pipelines.releases.forges.clients import Client
from pilotage.pipelines.releases.forges.requests import Request
from pilotage.pipelines.releases.places import Place


class GitHub:
    """One repository there."""

    def __init__(self, settings: Settings, place: Place) -> None:
        root = settings.forge_url or (
            "https://api.github.com" if place.host == "github.com" else f"https://{place.host}/api/v3"
        )
        headers = {
            "Authorization": f"Bearer {credentials.token(settings)}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._client = Client(settings, root, "GitHub", headers)
        self._owner, _, name = links.project(place).partition("/")
        self._pulls = f"/repos/{quote(self._owner, safe='')}/{quote(name, safe='')}/pulls"

    def find(self, branch: str, base: str) -> Request | None:
        """See `Api.find`."""
        query = {"state": "open", "head": f"{self._owner}:{branch}", "base": base}
        return next((_request(item) for item in self._client.get(self._pulls, query)), None)

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """See `Api.create`."""
        content = {"title": title, "head": branch, "base": base, "body": body}
        return _request(self._client.send("POST", self._pulls, content))

    def update(self, request: Request, title: str, body: str) -> Request:
        """See `Api.update`."""
        path = f"{self._pulls}/{request.number}"
        return _request(self._client.send("PATCH", path, {"title": title, "body": body}))


def _request(item: dict[str, Any]) -> Request:
    return Request(int(item["number"]), str(item["html_url"]), str(item["title"]), str(item["body"] or ""))
