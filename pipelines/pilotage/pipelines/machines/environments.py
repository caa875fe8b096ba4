"""Settings as the environment variables that give the same settings in another process."""

from __future__ import annotations

from pydantic import SecretStr

from pilotage.core.settings import Settings


def variables(settings: Settings) -> dict[str, str]:
    """`PILOTAGE_*` (and libraries' own) variables; what is empty stays out, so that a default stays one.

    Secrets stay out, too: a process that may know them inherits them from the environment.
    """
    found: dict[str, str] = {}
    for name, value in settings:
        if isinstance(value, SecretStr):
            continue
        text = _text(value)
        if value is not None and text:
            found["MLFLOW_TRACKING_URI" if name == "mlflow_tracking_uri" else f"PILOTAGE_{name.upper()}"] = (
                text
            )
    return {
        **found,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait made training ten times slower
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={number}" for name, number in value.items())
    return ",".join(value) if isinstance(value, tuple) else str(value)
