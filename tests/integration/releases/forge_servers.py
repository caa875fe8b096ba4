"""GitHub's and GitLab's APIs for requests, played by a server that refuses what they would refuse."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, Any, dict[str, str]]
"""Status, content and headers."""
TOKEN = "t0ken"


class ForgeServer(ThreadingHTTPServer):
    """One repository, `ops/live`, with its open requests."""

    daemon_threads = True

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.requests: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, Any]] = []
        """Method, path and body of what was asked and let in."""
        self.fault: Callable[[str], Answer | str | None] = lambda method: None
        """From the method to an answer in place of the right one; `drop` loses that one."""
        self.wrong: list[str] = []
        """What a forge would not have understood."""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def open_one(self, branch: str, base: str, title: str, body: str) -> dict[str, Any]:
        """Open a request, as somebody else does."""
        number = len(self.requests) + 1
        self.requests.append({"number": number, "branch": branch, "base": base, "title": title, "body": body})
        return self.requests[-1]

    def found(self, branch: str, base: str) -> list[dict[str, Any]]:
        return [item for item in self.requests if (item["branch"], item["base"]) == (branch, base)]


class _Handler(BaseHTTPRequestHandler):
    server: ForgeServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 - names that the base class looks for

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        fault = self.server.fault(self.command)
        if isinstance(fault, tuple):
            self._send(*fault)
            return
        answer = (github if self.server.kind == "github" else gitlab)(self, body)
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(2)
        else:
            self._send(*answer)

    def _send(self, status: int, content: Any, headers: dict[str, str]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *values: object) -> None:
        """Say nothing."""


def github(handler: _Handler, body: Any) -> Answer:
    """As https://docs.github.com/rest/pulls describes it, version 2022-11-28."""
    server, headers = handler.server, handler.headers
    if headers["Authorization"] != f"Bearer {TOKEN}":
        return 401, {"message": "Bad credentials"}, {}
    if headers["X-GitHub-Api-Version"] != "2022-11-28" or headers["Accept"] != "application/vnd.github+json":
        server.wrong.append(f"headers {dict(headers)}")
    if not headers.get("User-Agent"):
        return 403, {"message": "Request forbidden by administrative rules."}, {}
    parts = urlsplit(handler.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    server.seen.append((handler.command, parts.path, body))
    if handler.command == "GET" and parts.path == "/repos/ops/live/pulls":
        if query.keys() != {"state", "head", "base"} or query["state"] != "open":
            server.wrong.append(f"query {query}")
        owner, _, branch = query["head"].partition(":")
        assert owner == "ops"
        return 200, [_pull(server, item) for item in server.found(branch, query["base"])], {}
    if handler.command == "POST" and parts.path == "/repos/ops/live/pulls":
        if body.keys() != {"title", "head", "base", "body"}:
            server.wrong.append(f"body {sorted(body)}")
        if server.found(body["head"], body["base"]):
            told = f"A pull request already exists for ops:{body['head']}."
            return 422, {"message": "Validation Failed", "errors": [{"code": "custom", "message": told}]}, {}
        made = server.open_one(body["head"], body["base"], body["title"], body["body"])
        return 201, _pull(server, made), {}
    number = re.fullmatch(r"/repos/ops/live/pulls/(\d+)", parts.path)
    if handler.command == "PATCH" and number is not None:
        item = server.requests[int(number[1]) - 1]
        item.update({name: body[name] for name in ("title", "body")})
        return 200, _pull(server, item), {}
    return 404, {"message": "Not Found"}, {}


def _pull(server: ForgeServer, item: dict[str, Any]) -> dict[str, Any]:
    page = f"https://github.example/ops/live/pull/{item['number']}"
    return {
        "number": item["number"],
        "html_url": page,
        "title": item["title"],
        "body": item["body"],
        "state": "open",
    }


def gitlab(handler: _Handler, body: Any) -> Answer:
    """As https://docs.gitlab.com/api/merge_requests describes it, version 4."""
    server = handler.server
    if handler.headers["PRIVATE-TOKEN"] != TOKEN:
        return 401, {"message": "401 Unauthorized"}, {}
    parts = urlsplit(handler.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    root, _, rest = parts.path.partition("/merge_requests")
    if root != "/projects/ops%2Flive" or unquote(root) != "/projects/ops/live":
        return 404, {"message": "404 Project Not Found"}, {}
    server.seen.append((handler.command, parts.path, body))
    if handler.command == "GET" and not rest:
        if query.keys() != {"state", "source_branch", "target_branch"} or query["state"] != "opened":
            server.wrong.append(f"query {query}")
        found = server.found(query["source_branch"], query["target_branch"])
        return 200, [_merge(item) for item in found], {}
    if handler.command == "POST" and not rest:
        if body.keys() != {"source_branch", "target_branch", "title", "description", "remove_source_branch"}:
            server.wrong.append(f"body {sorted(body)}")
        if server.found(body["source_branch"], body["target_branch"]):
            told = "Another open merge request already exists for this source branch: !1"
            return 409, {"message": [told]}, {}
        made = server.open_one(
            body["source_branch"], body["target_branch"], body["title"], body["description"]
        )
        return 201, _merge(made), {}
    if handler.command == "PUT" and re.fullmatch(r"/\d+", rest):
        item = server.requests[int(rest[1:]) - 1]
        item.update({"title": body["title"], "body": body["description"]})
        return 200, _merge(item), {}
    return 404, {"error": "404 Not Found"}, {}


def _merge(item: dict[str, Any]) -> dict[str, Any]:
    page = f"https://gitlab.example/ops/live/-/merge_requests/{item['number']}"
    return {
        "id": 1000 + item["number"],
        "iid": item["number"],
        "web_url": page,
        "title": item["title"],
        "description": item["body"],
        "state": "opened",
    }


@contextmanager
def serving(kind: str) -> Iterator[ForgeServer]:
    """A forge on loopback."""
    server = ForgeServer(kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert server.wrong == []
