"""Kubeflow Pipelines' API through its own client, with our errors, time limits and a token that is read anew.

Every call is one request, or two when a token has just been replaced; whether
and when to try again is decided by callers. kfp's client asks a server for its
health when it is made, keeps a file in the user's home and prints addresses to
standard output; ours does none of it.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import kfp_server_api
import urllib3
from kfp.client import Client as KfpClient
from kfp.client.token_credentials_base import TokenCredentialsBase
from kfp_server_api.rest import RESTClientObject

from pilotage.core import errors
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LOG_PATH = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
"""Of a pod's log; the one path in use that is not part of the API's description."""
_PAGE = 100
_MOST_MESSAGE = 300
_TOO_MANY = 429


class Client:
    """The API behind `kubeflow_url`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = _TokenFile(settings.kubeflow_token_file) if settings.kubeflow_token_file else None

    @cached_property
    def _kfp(self) -> Any:
        settings = self._settings
        ca = settings.kubeflow_ca_file
        if ca is not None and not ca.is_file():
            raise errors.SettingsError(
                f"There is no `{ca}`.", remedy="PILOTAGE_KUBEFLOW_CA_FILE names the authorities' file (PEM)."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that it does not speak to servers before 2.0
            client = _Quiet(
                host=settings.kubeflow_url, credentials=self._token, ssl_ca_cert=str(ca) if ca else None
            )
        api = client.runs.run_service_get_run.__self__.api_client
        api.configuration.retries = urllib3.Retry(0, redirect=0)
        api.rest_client = _Limited(api.configuration, settings.kubeflow_timeout_seconds)
        return client

    def find_experiment(self, name: str) -> str | None:
        """Id of the experiment with this name; None where there is none."""
        namespace = self._settings.kubeflow_namespace or None
        found = self._ask(
            "look for the experiment",
            lambda kfp: kfp.experiments.experiment_service_list_experiments(
                namespace=namespace, filter=_named(name), page_size=_PAGE
            ),
        )
        known = (item for item in found.experiments or () if item.display_name == name)
        return next((str(item.experiment_id) for item in known), None)

    def experiment(self, name: str) -> str:
        """Id of the experiment with this name, which is made when it is not there."""
        found = self.find_experiment(name)
        if found is not None:
            return found
        namespace = self._settings.kubeflow_namespace or None
        try:
            made = self._ask(
                "make the experiment",
                lambda kfp: kfp.experiments.experiment_service_create_experiment(
                    experiment=kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace)
                ),
            )
        except errors.Conflict:
            found = self.find_experiment(name)  # another process was faster
            if found is None:
                raise
            return found
        return str(made.experiment_id)

    def create_run(self, run: kfp_server_api.V2beta1Run) -> Any:
        """Submit a run; asking twice makes two."""
        return self._ask("submit the run", lambda kfp: kfp.runs.run_service_create_run(run=run))

    def runs(self, experiment: str, name: str | None = None) -> Iterator[Any]:
        """Runs of an experiment, the newest first; all of them, or those with this name."""
        wanted = {"experiment_id": experiment, "page_size": _PAGE, "sort_by": "created_at desc"}
        if name is not None:
            wanted["filter"] = _named(name)

        def page(kfp: Any, token: str) -> Any:
            return kfp.runs.run_service_list_runs(page_token=token, **wanted)

        for found in self._pages("look for runs", page):
            yield from found.runs or ()

    def run(self, run: str) -> Any:
        """A run with what its tasks do."""
        return self._ask("look at the run", lambda kfp: kfp.runs.run_service_get_run(run_id=run))

    def terminate(self, run: str) -> None:
        """End a run; one that has ended stays as it is."""
        self._ask("terminate the run", lambda kfp: kfp.runs.run_service_terminate_run(run_id=run))

    def log(self, run: str, node: str, offset: int, limit: int) -> bytes:
        """What the pod `node` of a run has written from byte `offset` on, at most `limit` bytes."""

        def read(kfp: Any) -> bytes:
            api = kfp.runs.run_service_get_run.__self__.api_client
            places = {"run_id": run, "node_id": node}
            response = api.call_api(
                LOG_PATH, "GET", places, [], {"Accept": "text/plain"},
                auth_settings=["Bearer"], _preload_content=False,
            )  # fmt: skip
            try:
                return _part(response, offset, limit)
            finally:
                response.release_conn()

        return self._ask("read the log", read)

    def recurring_runs(self, experiment: str) -> Iterator[Any]:
        """Every recurring run of an experiment."""

        def page(kfp: Any, token: str) -> Any:
            return kfp.recurring_runs.recurring_run_service_list_recurring_runs(
                experiment_id=experiment, page_token=token, page_size=_PAGE
            )

        for found in self._pages("look for recurring runs", page):
            yield from found.recurring_runs or ()

    def create_recurring_run(self, wanted: kfp_server_api.V2beta1RecurringRun) -> Any:
        """Let Kubeflow's clock start runs; asking twice starts each twice."""
        return self._ask(
            "make the recurring run",
            lambda kfp: kfp.recurring_runs.recurring_run_service_create_recurring_run(recurring_run=wanted),
        )

    def disable_recurring_run(self, recurring: str) -> None:
        """Let its clock start nothing more; it stays, and can be asked for."""
        self._ask(
            "disable the recurring run",
            lambda kfp: kfp.recurring_runs.recurring_run_service_disable_recurring_run(
                recurring_run_id=recurring
            ),
        )

    def delete_recurring_run(self, recurring: str) -> None:
        """Let its clock start them no more; runs that it started stay."""
        self._ask(
            "delete the recurring run",
            lambda kfp: kfp.recurring_runs.recurring_run_service_delete_recurring_run(
                recurring_run_id=recurring
            ),
        )

    def _pages(self, what: str, page: Callable[[Any, str], Any]) -> Iterator[Any]:
        """Answer after answer, until one names no next or one that was there."""
        token, seen = "", {""}

        def ask(kfp: Any) -> Any:
            return page(kfp, token)

        while True:
            found = self._ask(what, ask)
            yield found
            token = found.next_page_token or ""
            if token in seen:
                return
            seen.add(token)

    def _ask(self, what: str, call: Callable[[Any], Result]) -> Result:
        """The result of a call, or what went wrong with it in our terms.

        Raises:
            Unauthenticated, Forbidden, NotFound, Conflict, InputError: the API said so.
            Unavailable: it does not answer, or cannot now.
            SettingsError: the token's or the authorities' file cannot be used.
        """
        used = self._token.read() if self._token else ""
        try:
            return self._once(what, call)
        except errors.Unauthenticated:
            if self._token is None or self._token.read() == used:
                raise
            return self._once(what, call)  # the token was replaced while it was under way

    def _once(self, what: str, call: Callable[[Any], Result]) -> Result:
        url = self._settings.kubeflow_url
        try:
            return call(self._kfp)
        except kfp_server_api.ApiException as error:
            raise _refused(what, url, error) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _unreachable(what, url, error) from error
        except AttributeError as error:
            # what kfp's client makes of a failed TLS handshake, which has no body
            if not isinstance(error.__context__, kfp_server_api.ApiException):
                raise
            raise _unreachable(what, url, error.__context__) from error


class _Quiet(KfpClient):  # type: ignore[misc]
    """kfp's client without its file in the user's home and its questions when it is made."""

    def _load_context_setting_or_default(self) -> None:
        self._context_setting = {"namespace": "unused"}


class _Limited(RESTClientObject):  # type: ignore[misc]
    """Lets no request take for ever."""

    def __init__(self, configuration: Any, seconds: int) -> None:
        super().__init__(configuration)
        self._seconds = seconds

    def request(self, *arguments: Any, **named: Any) -> Any:
        named["_request_timeout"] = named.get("_request_timeout") or self._seconds
        return super().request(*arguments, **named)


class _TokenFile(TokenCredentialsBase):  # type: ignore[misc]
    """A bearer token in a file that somebody replaces before it expires."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.SettingsError(
                f"The token for Kubeflow cannot be read: {error}.",
                remedy="PILOTAGE_KUBEFLOW_TOKEN_FILE names a file with it.",
            ) from error
        if not token or not token.isprintable():
            raise errors.SettingsError(
                f"`{self._path}` holds no token.", remedy="Write the bearer token for Kubeflow into it."
            )
        return token

    def refresh_api_key_hook(self, config: Any) -> None:
        config.api_key["authorization"] = self.read()


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]})


def _part(response: Any, offset: int, limit: int) -> bytes:
    """Bytes of a streamed answer from `offset` on; the API has no way to ask for a part."""
    skipped, kept = 0, bytearray()
    for chunk in response.stream(1 << 16):
        start = min(len(chunk), max(0, offset - skipped))
        skipped += start
        kept += chunk[start:]
        if len(kept) >= limit:
            response.close()
            break
    return bytes(kept[:limit])


def _refused(what: str, url: str, error: Any) -> errors.PilotageError:
    status, said = int(error.status or 0), _said(error)
    details: dict[str, Any] = {"status": status}
    if status == 401:
        return errors.Unauthenticated(
            f"Kubeflow at {url} does not take the token: {said}.",
            remedy="Put one that has not expired into the file that PILOTAGE_KUBEFLOW_TOKEN_FILE names.",
            **details,
        )
    if status == 403:
        return errors.Forbidden(
            f"Kubeflow at {url} does not let us {what}: {said}.",
            remedy="docs/kubeflow.md lists what the token's owner has to be granted.",
            **details,
        )
    if status == 404:
        return errors.NotFound(f"Kubeflow at {url} could not {what}: {said}.", **details)
    if status == 409:
        return errors.Conflict(f"Kubeflow at {url} could not {what}: {said}.", **details)
    if 400 <= status < 500 and status not in (408, _TOO_MANY):
        return errors.InputError(f"Kubeflow at {url} refused to {what}: {said}.", **details)
    return _unreachable(what, url, f"status {status}: {said}")


def _unreachable(what: str, url: str, cause: object) -> errors.Unavailable:
    cause = getattr(cause, "reason", None) or cause
    return errors.Unavailable(
        f"Kubeflow at {url} could not {what}: {str(cause)[:_MOST_MESSAGE]}.",
        remedy="Check that its API runs and that PILOTAGE_KUBEFLOW_URL leads to it.",
    )


def _said(error: Any) -> str:
    """What an answer says is wrong, in one line."""
    text = error.body if isinstance(error.body, str) else (error.body or b"").decode(errors="replace")
    try:
        found = json.loads(text)
        if isinstance(found, Mapping):
            text = str(found.get("message") or found.get("error") or found.get("error_message") or text)
    except ValueError:
        pass
    return " ".join((text or str(error.reason)).split())[:_MOST_MESSAGE].rstrip(".")
