"""What an installation needs before pods can carry out its steps, said before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, PythonSource, SqlSource
from pilotage.core.storage import Storage


def require(settings: Settings, spec: PilotSpec, folder: Path) -> None:
    """Make sure that pods can reach what steps read and write.

    Raises:
        SettingsError: the setting that keeps them from it.
        SourceError: the data is where no pod can read it.
    """
    if not settings.kubeflow_url:
        raise errors.SettingsError(
            "It is not said where Kubeflow is.",
            remedy="Set PILOTAGE_KUBEFLOW_URL to the address of its API, such as https://kubeflow.example.",
        )
    mounts = [volume.mount_path.rstrip("/") for volume in spec.cluster.volumes]
    _require_storage(settings, mounts)
    _require_registry(settings)
    _require_source(spec, folder, mounts)


def _require_storage(settings: Settings, mounts: list[str]) -> None:
    if not settings.storage_url:
        raise errors.SettingsError(
            f"Snapshots are kept in {settings.home}, which pods cannot see.",
            remedy="Set PILOTAGE_STORAGE_URL to an object store: s3://…, gs://… or az://….",
        )
    storage = Storage(settings.storage)
    if storage.local and not _below(Path(storage.location("x")), mounts):
        raise errors.SettingsError(
            f"PILOTAGE_STORAGE_URL is the folder {settings.storage}, which pods cannot see.",
            remedy="Set it to an object store (s3://…, gs://…, az://…), or mount the volume that holds the"
            " folder at the same path with `cluster.volumes` in pilot.yaml.",
        )


def _require_registry(settings: Settings) -> None:
    if urlsplit(settings.tracking).scheme not in ("http", "https"):
        raise errors.SettingsError(
            f"MLflow's store is {settings.tracking.partition('?')[0]}, which pods cannot reach.",
            remedy="Set MLFLOW_TRACKING_URI to the address of an MLflow server, such as http://mlflow:5000.",
        )


def _require_source(spec: PilotSpec, folder: Path, mounts: list[str]) -> None:
    """Relative names lead to files that travel with the pilot, unless they lead out of its folder."""
    source = spec.data.source
    named = {"expectations": spec.expectations}
    if not isinstance(source, SqlSource | PythonSource):
        named["data.source"] = source
    for key, value in named.items():
        if not value or "://" in value:
            continue
        path = (folder / value).resolve()
        if not path.is_relative_to(folder.resolve()) and not _below(path, mounts):
            raise errors.SourceError(
                f"`{key}: {value}` leads out of the pilot's folder, to {path}, where no pod finds it.",
                remedy="Put it into the folder, the storage (s3://…), or a volume of `cluster.volumes`.",
                key=key,
            )


def _below(path: Path, mounts: list[str]) -> bool:
    return any(path.is_relative_to(mount) for mount in mounts)
