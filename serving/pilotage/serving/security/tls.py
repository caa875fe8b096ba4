"""TLS, and mutual TLS, from files in PEM: checked at the start, and read again when they change.

A certificate that was renewed is in force for new connections within a second,
without a restart; files that cannot be used leave the ones before in force.
Sockets and protocols are not known here.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.core import errors
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    import grpc
    from cryptography.x509 import Certificate

logger = logging.getLogger(__name__)

_CERT = "PILOTAGE_TLS_CERT_FILE"
_KEY = "PILOTAGE_TLS_KEY_FILE"
_CA = "PILOTAGE_TLS_CLIENT_CA_FILE"
_LOOK_SECONDS = 1.0
"""How often, at most, a handshake looks whether the files changed."""
_SOON = timedelta(days=7)


def scheme(settings: Settings) -> str:
    """`https` where the settings ask for TLS, else `http`."""
    return "https" if settings.tls_cert_file else "http"


def check(settings: Settings) -> None:
    """Raises SettingsError when the settings ask for TLS that cannot be had."""
    if settings.tls_cert_file or settings.tls_key_file or settings.tls_client_ca_file:
        _context(settings)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """What to add to `uvicorn.Config`; nothing where the settings ask for no TLS.

    Raises:
        SettingsError: a file is missing, cannot be read, expired or does not fit the other.
    """
    check(settings)
    if not settings.tls_cert_file:
        return {}
    return {"ssl_context_factory": lambda config, default: server_context(settings)}


def server_context(settings: Settings) -> ssl.SSLContext:
    """A context that takes renewed files as they come; raises SettingsError as `uvicorn_options` does."""
    context = _context(settings)
    renewal = _Renewal(settings)

    def renew(connection: ssl.SSLObject, name: str | None, used: ssl.SSLContext) -> None:
        renewal.look()
        if renewal.context is not None:
            connection.context = renewal.context

    context.sni_callback = renew
    return context


def expires_at(settings: Settings) -> datetime:
    """When the certificate that the settings name ends.

    Raises:
        SettingsError: they name none that can be read.
    """
    return _dates(_certificate(_pair(settings)[0]))[1]


def grpc_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Credentials for a gRPC server; None where the settings ask for no TLS.

    Raises:
        SettingsError: see `uvicorn_options`.
    """
    check(settings)
    if not settings.tls_cert_file:
        return None
    import grpc

    renewal = _Renewal(settings)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        return _grpc_configuration(settings) if renewal.look() else None

    return grpc.dynamic_ssl_server_credentials(
        _grpc_configuration(settings),
        fetch,
        require_client_authentication=settings.tls_client_ca_file is not None,
    )


def _grpc_configuration(settings: Settings) -> grpc.ServerCertificateConfiguration:
    import grpc

    cert, key = _pair(settings)
    ca = settings.tls_client_ca_file
    return grpc.ssl_server_certificate_configuration(
        [(key.read_bytes(), cert.read_bytes())], ca.read_bytes() if ca else None
    )


class _Renewal:
    """Whether the files changed since they were looked at."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.context: ssl.SSLContext | None = None
        """Made of the newest files; None while they are those of the start."""
        self._settings = settings
        self._clock = clock
        self._look_at = clock() + _LOOK_SECONDS
        self._stamps = _stamps(settings)

    def look(self) -> bool:
        """Read the files again if they changed; whether that gave a context that can be used."""
        now = self._clock()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        stamps = _stamps(self._settings)
        if stamps == self._stamps:
            return False
        try:
            self.context = _context(self._settings)
        except errors.SettingsError as error:
            logger.warning("the certificate before stays in force: %s", error)
            return False
        self._stamps = stamps
        logger.info("%s changed and is in force", self._settings.tls_cert_file)
        return True


def _context(settings: Settings) -> ssl.SSLContext:
    cert, key = _pair(settings)
    _check_dates(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # never asks a terminal
    except (ssl.SSLError, OSError) as error:
        raise errors.SettingsError(
            f"{_KEY}: `{key}` is not the unencrypted private key of `{cert}`: {_text(error)}.",
            remedy="Name a certificate and its own key, both in PEM.",
        ) from error
    if settings.tls_client_ca_file is not None:
        ca = settings.tls_client_ca_file
        _read(_CA, ca)
        try:
            context.load_verify_locations(cafile=ca)
        except (ssl.SSLError, OSError) as error:
            raise errors.SettingsError(
                f"{_CA}: `{ca}` holds no authority's certificate: {_text(error)}.",
                remedy="Name a file of certificates in PEM.",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _pair(settings: Settings) -> tuple[Path, Path]:
    cert, key = settings.tls_cert_file, settings.tls_key_file
    if cert is None or key is None:
        given = [
            name
            for name, file in ((_CERT, cert), (_KEY, key), (_CA, settings.tls_client_ca_file))
            if file is not None
        ]
        lacks = _CERT if cert is None else _KEY
        raise errors.SettingsError(
            f"{' and '.join(given)} without {lacks}: TLS needs a certificate and its key.",
            remedy=f"Set {lacks} too.",
        )
    return cert, key


def _check_dates(cert: Path) -> None:
    now = datetime.now(UTC)
    begins, ends = _dates(_certificate(cert))
    if not begins <= now < ends:
        problem = (
            f"expired at {ends.isoformat()}" if now >= ends else f"is in force from {begins.isoformat()}"
        )
        raise errors.SettingsError(f"{_CERT}: `{cert}` {problem}.", remedy="Renew it.")
    if ends - now < _SOON:
        logger.warning("the certificate %s expires at %s", cert, ends.isoformat())


def _certificate(cert: Path) -> Certificate:
    from cryptography import x509

    data = _read(_CERT, cert)
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise errors.SettingsError(
            f"{_CERT}: `{cert}` holds no certificate in PEM.", remedy="Name one."
        ) from error


def _dates(found: Certificate) -> tuple[datetime, datetime]:
    return found.not_valid_before_utc, found.not_valid_after_utc


def _read(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise errors.SettingsError(
            f"{variable}: `{file}` cannot be read: {_text(error)}.", remedy="Correct the path or its mode."
        ) from error


def _text(error: OSError) -> str:
    return error.strerror or str(error)


def _stamps(settings: Settings) -> list[tuple[int, int, int] | None]:
    files = (settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    return [_stamp(file) for file in files if file is not None]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - follows the links of mounted secrets
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
