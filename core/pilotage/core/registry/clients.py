"""The client: reads through a light reader, writes through MLflow, moves aliases in a crash-safe order."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.core import errors, samples, signatures
from pilotage.core.artifacts import Model, Scorecard
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry.remotes import ClientReader
from pilotage.core.registry.tags import RUN_TAG
from pilotage.core.registry.versions import Alias, Reader, Registered, SqlReader, local_path
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

INSIDE = "pilotage"
"""Folder, inside a model folder and inside a run's artifacts, of what Pilotage adds."""
_MOST = 1000


class Registry:
    """Experiments, runs, versions and aliases of one MLflow store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: MlflowClient | None = None
        sql = not settings.tracking.startswith(("http://", "https://", "databricks", "file:"))
        self._reader: Reader = SqlReader(settings.tracking) if sql else ClientReader(self)

    # -- reading ---------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of the pilots that have a version, sorted."""
        return self._reader.names()

    def aliases(self, name: str) -> dict[str, int]:
        """Versions by alias; empty when the pilot has none."""
        return self._reader.aliases(name)

    def versions(self, name: str) -> list[Registered]:
        """Versions of pilot `name`, newest first."""
        return self._reader.versions(name)

    def version(self, name: str, version: int) -> Registered:
        """Version `version` of pilot `name`.

        Raises:
            NotFound: there is no such version.
        """
        found = self._reader.version(name, version)
        if found is not None:
            return found
        have = ", ".join(str(known.version) for known in reversed(self.versions(name))) or "none"
        raise errors.NotFound(
            f"Pilot `{name}` has no version {version}; it has {have}.",
            remedy=f"`pilotage models {name}` lists them.",
        )

    def champion(self, name: str) -> Registered | None:
        """The version that serves, if there is one."""
        version = self.aliases(name).get(Alias.CHAMPION)
        return None if version is None else self.version(name, version)

    def aliased(self, names: Collection[str] | None = None) -> list[Registered]:
        """Versions with an alias of the pilots `names`, or of all, by name and version; in few questions."""
        found = self._reader.aliased()
        return found if names is None else [item for item in found if item.name in names]

    def tagged(self, key: str, value: str) -> list[tuple[str, int]]:
        """Name and number of the versions of all pilots whose tag `key` is `value`, in few questions."""
        return self._reader.tagged(key, value)

    def champions(self, names: Collection[str] | None = None) -> dict[str, Registered]:
        """The version that serves each of the pilots `names`, or each of all; those without are left out."""
        return {item.name: item for item in self.aliased(names) if Alias.CHAMPION in item.aliases}

    def folder(self, registered: Registered) -> Path:
        """A local folder with the files of a version's model; downloaded when the store is remote.

        Raises:
            NotFound: the files are gone.
            UntrustedModel: the settings name a key, and it did not sign these files for this version.
        """
        folder = signatures.verified(self.folder_at(registered.location), self._settings)
        signatures.require_match(folder, registered, self._settings)
        return folder

    def folder_at(self, uri: str) -> Path:
        """A local folder with the files of the model at `uri`."""
        path = local_path(uri)
        if path is None:
            import mlflow

            self.client  # noqa: B018 - sets MLflow's tracking address
            path = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
        if not (path / INSIDE / Model.FILE).is_file():
            raise errors.NotFound(
                f"The model folder `{uri}` is gone or was not written by Pilotage.",
                remedy="Run the pilot again.",
            )
        return path

    def model(self, registered: Registered) -> Model:
        """What made a version's model."""
        return Model.read(self.folder(registered) / INSIDE)

    def profile(self, registered: Registered) -> ReferenceProfile:
        """The reference profile stored with a version."""
        return ReferenceProfile.read(self.folder(registered) / INSIDE)

    def reference(self, registered: Registered) -> pa.Table | None:
        """Held-out rows stored with a version, in the layout of `pilotage.core.samples`; None without any."""
        path = self.folder(registered) / INSIDE / samples.REFERENCE_FILE
        return samples.read(path) if path.is_file() else None

    def scorecard(self, registered: Registered) -> Scorecard:
        """The scorecard that a version was judged by.

        Raises:
            NotFound: its run has none.
        """
        return Scorecard.read(self.run_file(registered.run, Scorecard.FILE))

    def run_file(self, run: str, name: str) -> Path:
        """A local copy of file `name` that `log_file` stored with a run.

        Raises:
            NotFound: the run has no such file.
        """
        location = self._reader.run_location(run)
        folder = local_path(location) if location else None
        if folder is not None:
            path = folder / INSIDE / name
        else:
            path = self._download(run, f"{INSIDE}/{name}")
        if not path.is_file():
            raise errors.NotFound(f"MLflow's run {run} has no file `{name}`.")
        return path

    def _download(self, run: str, name: str) -> Path:
        from mlflow.exceptions import MlflowException

        target = self._settings.home / "cache" / "runs" / run
        target.mkdir(parents=True, exist_ok=True)
        try:
            return Path(self.client.download_artifacts(run, name, str(target)))
        except (MlflowException, OSError) as error:
            raise errors.NotFound(f"MLflow's run {run} has no file `{name}`.") from error

    # -- writing ---------------------------------------------------------------

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the store is created and migrated when this is its first use.

        Raises:
            Unavailable: the store does not answer.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its own default takes minutes
        import mlflow
        from mlflow.exceptions import MlflowException

        uri = self._settings.tracking
        if mlflow.get_tracking_uri() != uri or mlflow.get_registry_uri() != uri:
            with _unchanged_environment("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                mlflow.set_tracking_uri(uri)
                mlflow.set_registry_uri(uri)
        if self._client is None:
            with self._creating():
                client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
                try:
                    client.search_experiments(max_results=1)
                    client.search_registered_models(max_results=1)
                except MlflowException as error:
                    raise errors.Unavailable(
                        f"The model registry did not answer: {error}.",
                        remedy="Start it, or correct MLFLOW_TRACKING_URI.",
                    ) from error
            self._client = client
        return self._client

    def start_run(self, name: str, run_name: str, tags: Mapping[str, str]) -> str:
        """Begin an MLflow run in the experiment of pilot `name`; returns its id."""
        run = self.client.create_run(self._experiment(name), run_name=run_name, tags=dict(tags))
        return str(run.info.run_id)

    def end_run(self, run: str, status: str = "FINISHED") -> None:
        """Set the final status: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run, status=status)

    def log_params(self, run: str, params: Mapping[str, Any]) -> None:
        """Log parameters, each cut to what MLflow can hold."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run, params=entries[start : start + 100])

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Log metrics; values that are not finite are left out."""
        from mlflow.entities import Metric

        now = int(datetime.now(UTC).timestamp() * 1000)
        entries = [
            Metric(key, value, now, 0)
            for key, value in metrics.items()
            if value == value and abs(value) != float("inf")
        ]
        for start in range(0, len(entries), _MOST):
            self.client.log_batch(run, metrics=entries[start : start + _MOST])

    def log_file(self, run: str, path: Path) -> None:
        """Store a file with a run, under Pilotage's folder."""
        self.client.log_artifact(run, str(path), INSIDE)

    def log_model(self, name: str, run: str, folder: Path, params: Mapping[str, Any]) -> str:
        """Store a model folder with its run; returns its MLflow URI."""
        from mlflow.entities import LoggedModelStatus

        model = self.client.create_logged_model(
            self._experiment(name),
            name=name,
            source_run_id=run,
            params={key: str(value)[:250] for key, value in params.items()},
            model_type="pilotage",
        )
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_uri)

    def add_to_model(self, uri: str, folder: Path, names: Iterable[str]) -> None:
        """Store files and folders `names` of the local model folder `folder` with the model at `uri`.

        Where that is the folder itself there is nothing to do.
        """
        if local_path(self.model_location(uri)) is not None:
            return
        with tempfile.TemporaryDirectory(prefix="pilotage-model-") as scratch:
            for source in (folder / name for name in names):
                copy = Path(scratch) / source.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, copy)
                elif source.is_file():
                    shutil.copyfile(source, copy)
            self.client.log_model_artifacts(uri.removeprefix("models:/"), scratch)

    def model_location(self, uri: str) -> str:
        """Where the files of the model at MLflow URI `uri` are."""
        return str(self.client.get_logged_model(uri.removeprefix("models:/")).artifact_location)

    def register(self, name: str, run: str, uri: str, tags: Mapping[str, str]) -> int:
        """A version of pilot `name` for the model at `uri`; the one that is there if it already has one."""
        from mlflow.exceptions import MlflowException

        for registered in self.versions(name):
            if registered.run == run:
                return registered.version
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self.client.create_model_version(
            name, source=uri, run_id=run, tags=dict(tags), model_id=uri.removeprefix("models:/")
        )
        return int(version.version)

    def tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(name, str(version), key, value)

    def challenge(self, name: str, version: int) -> None:
        """Make `version` the challenger."""
        self.client.set_registered_model_alias(name, Alias.CHALLENGER, str(version))

    def withdraw(self, name: str, version: int) -> None:
        """Make `version` challenger no more, if it is."""
        if self.aliases(name).get(Alias.CHALLENGER) == version:
            self.client.delete_registered_model_alias(name, Alias.CHALLENGER)

    def promote(self, name: str, version: int) -> int | None:
        """Make `version` champion and the champion so far `previous`; returns the latter.

        Each order of crash and retry ends right: what is repeated changes nothing.

        Raises:
            NotFound: there is no such version.
        """
        self.version(name, version)
        aliases = self.aliases(name)
        champion = aliases.get(Alias.CHAMPION)
        if champion != version:
            if champion is not None:
                self.client.set_registered_model_alias(name, Alias.PREVIOUS, str(champion))
            self.client.set_registered_model_alias(name, Alias.CHAMPION, str(version))
        if aliases.get(Alias.CHALLENGER) == version:
            self.client.delete_registered_model_alias(name, Alias.CHALLENGER)
        return champion if champion != version else aliases.get(Alias.PREVIOUS)

    def rollback(self, name: str) -> int:
        """Make the previous champion champion again; returns its version.

        Raises:
            NotFound: there is none to go back to.
        """
        aliases = self.aliases(name)
        previous = aliases.get(Alias.PREVIOUS)
        if previous is None or previous == aliases.get(Alias.CHAMPION):
            raise errors.NotFound(
                f"Pilot `{name}` has no previous champion to go back to.",
                remedy=f"`pilotage promote {name} VERSION` makes any version champion.",
            )
        self.client.set_registered_model_alias(name, Alias.CHAMPION, str(previous))
        self.client.delete_registered_model_alias(name, Alias.PREVIOUS)
        return previous

    def restore(self, name: str, version: int) -> None:
        """Make `version` champion and leave none to go back to, as a rollback does; repeated, it is the same.

        Raises:
            NotFound: there is no such version.
        """
        self.version(name, version)
        aliases = self.aliases(name)
        if aliases.get(Alias.CHAMPION) != version:
            self.client.set_registered_model_alias(name, Alias.CHAMPION, str(version))
        if Alias.PREVIOUS in aliases:
            self.client.delete_registered_model_alias(name, Alias.PREVIOUS)

    def kill_open_runs(self, name: str, run: str) -> int:
        """Mark what a died Pilotage run left open in MLflow as killed; returns how many."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            return 0
        found = self.client.search_runs(
            [experiment.experiment_id],
            filter_string=f"attributes.status = 'RUNNING' and tags.`{RUN_TAG}` = '{run}'",
        )
        for item in found:
            self.end_run(item.info.run_id, "KILLED")
        return len(found)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        embedded = not self._settings.mlflow_tracking_uri
        location = self._settings.artifacts.as_uri() if embedded else None
        try:
            return str(self.client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise errors.Unavailable(f"MLflow could not create experiment `{name}`: {error}.") from error
            return str(found.experiment_id)

    @contextmanager
    def _creating(self) -> Iterator[None]:
        """Only one process at a time creates and migrates the embedded store."""
        self._settings.home.mkdir(parents=True, exist_ok=True)
        with (self._settings.home / "mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _unchanged_environment(*names: str) -> Iterator[None]:
    """MLflow exports its addresses, which would then look like settings of the installation."""
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
