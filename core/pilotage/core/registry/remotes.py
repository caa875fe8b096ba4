"""Versions and aliases as the registry's readers see them, read through MLflow's client.

For stores that are not SQL, such as an MLflow server. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pilotage.core import errors
from pilotage.core.registry.versions import Registered

if TYPE_CHECKING:
    from pilotage.core.registry.clients import Registry

_MOST = 1000


class ClientReader:
    """Reads through MLflow's client, for stores that are not SQL."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def aliases(self, name: str) -> dict[str, int]:
        from mlflow.exceptions import MlflowException

        try:
            model = self._registry.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise errors.Unavailable(
                f"The model registry did not answer: {error}.", remedy="Try again."
            ) from error
        return {str(alias): int(version) for alias, version in model.aliases.items()}

    def versions(self, name: str) -> list[Registered]:
        aliases = self.aliases(name)
        found = self._registry.client.search_model_versions(f"name = '{name}'", max_results=_MOST)
        return sorted((self._told(name, item, aliases) for item in found), key=lambda item: -item.version)

    def version(self, name: str, version: int) -> Registered | None:
        from mlflow.exceptions import MlflowException

        try:
            item = self._registry.client.get_model_version(name, str(version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise errors.Unavailable(
                f"The model registry did not answer: {error}.", remedy="Try again."
            ) from error
        return self._told(name, item, self.aliases(name))

    def _told(self, name: str, item: Any, aliases: Mapping[str, int]) -> Registered:
        """A version as MLflow has it."""
        number = int(item.version)
        return Registered(
            name=name,
            version=number,
            run=item.run_id or "",
            location=self._registry.client.get_model_version_download_uri(name, item.version),
            created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, tz=UTC),
            tags=dict(item.tags),
            aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        )

    def aliased(self) -> list[Registered]:
        """As `Reader` says, in few questions; a version's location is its source."""
        client = self._registry.client
        aliases: dict[tuple[str, int], list[str]] = {}
        for model in _all(client.search_registered_models):
            for alias, version in model.aliases.items():
                aliases.setdefault((model.name, int(version)), []).append(str(alias))
        found = [
            item for item in _all(client.search_model_versions) if (item.name, int(item.version)) in aliases
        ]
        return [
            Registered(
                name=item.name,
                version=int(item.version),
                run=item.run_id or "",
                location=item.source,
                created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, tz=UTC),
                tags=dict(item.tags),
                aliases=tuple(sorted(aliases[item.name, int(item.version)])),
            )
            for item in sorted(found, key=lambda item: (item.name, int(item.version)))
        ]

    def tagged(self, key: str, value: str) -> list[tuple[str, int]]:
        wanted = partial(
            self._registry.client.search_model_versions, filter_string=f"tags.`{key}` = '{value}'"
        )
        return sorted((item.name, int(item.version)) for item in _all(wanted))

    def run_location(self, run: str) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._registry.client.get_run(run).info.artifact_uri)
        except MlflowException:
            return None

    def names(self) -> list[str]:
        return sorted(
            model.name for model in self._registry.client.search_registered_models(max_results=_MOST)
        )


def _all(search: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a search of MLflow's finds, over all its pages."""
    token = None
    while True:
        page = search(max_results=_MOST, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
