"""Merge requests on GitLab, by version 4 of its REST API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pilotage.core.settings import Settings
from pilotage.pipelines.releases import credentials, links
from pilotage.pipelines.releases.forges.clients import Client
from pilotage.pipelines.releases.forges.requests import Request
from pilotage.pipelines.releases.places import Place


class GitLab:
    """One project there."""

    def __init__(self, settings: Settings, place: Place) -> None:
        root = settings.forge_url or f"https://{place.host}/api/v4"
        self._client = Client(settings, root, "GitLab", {"PRIVATE-TOKEN": credentials.token(settings)})
        self._requests = f"/projects/{quote(links.project(place), safe='')}/merge_requests"

    def find(self, branch: str, base: str) -> Request | None:
        """See `Api.find`."""
        query = {"state": "opened", "source_branch": branch, "target_branch": base}
        return next((_request(item) for item in self._client.get(self._requests, query)), None)

    def create(self, branch: str, base: str, title: str, body: str) -> Request:
        """See `Api.create`."""
        content = {
            "source_branch": branch,
            "target_branch": base,
            "title": title,
            "description": body,
            "remove_source_branch": True,
        }
        return _request(self._client.send("POST", self._requests, content))

    def update(self, request: Request, title: str, body: str) -> Request:
        """See `Api.update`."""
        path = f"{self._requests}/{request.number}"
        return _request(self._client.send("PUT", path, {"title": title, "description": body}))


def _request(item: dict[str, Any]) -> Request:
    return Request(int(item["iid"]), str(item["web_url"]), str(item["title"]), str(item["description"] or ""))
