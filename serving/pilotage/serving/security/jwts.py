"""JSON Web Tokens: whether one was signed by the issuer of the settings, for us, and is in force.

Only signatures with a public key are taken, never `none` or a shared secret,
and the key comes from the issuer's set, never from the token. PyJWT and what
fetches keys are loaded when this is configured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.problems import Problem
from pilotage.serving.security.tokens import Role

if TYPE_CHECKING:
    import jwt

    from pilotage.serving.security.keysets import KeySet

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Those with a public key."""
METRICS_SCOPE = "pilotage.metrics"
"""Scope that also lets its holder read metrics."""
_LONGEST = 16 * 1024
"""Bytes of a token that is looked at."""


class KeyUnknown(Exception):
    """The token names a key that is not among those that were fetched."""


@dataclass(frozen=True)
class Claims:
    """What a token that was verified says."""

    subject: str
    expires: float
    """Unix time."""
    roles: frozenset[Role]


class Verifier:
    """Checks tokens by the settings."""

    def __init__(self, settings: Settings, keys: KeySet) -> None:
        self.keys = keys
        self._issuer = settings.auth_jwt_issuer
        self._audience = list(settings.auth_jwt_audience)
        self._algorithms = frozenset(settings.auth_jwt_algorithms)
        self._leeway = settings.auth_jwt_leeway_seconds
        self._scope = settings.auth_jwt_scope

    def verify(self, token: bytes) -> Claims:
        """The claims of `token`.

        Raises:
            KeyUnknown: it may be good, but its key is not here.
            Problem: it is not accepted, and why.
        """
        import jwt

        if len(token) > _LONGEST:
            raise _refused("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in self._algorithms:
                raise _refused("The token's algorithm is not accepted.")
            key = self.keys.find(kid, algorithm)
            if key is None:
                raise KeyUnknown
            return self._claims(self._decode(token, key, algorithm))
        except jwt.PyJWTError as error:
            raise _refused(_reason(error)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _refused("The token cannot be read.") from None

    def _decode(self, token: bytes, key: jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        import jwt

        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )

    def _claims(self, found: dict[str, Any]) -> Claims:
        subject = found["sub"]
        if not subject or len(subject) > 255 or not subject.isprintable():
            raise _refused("The token's subject is empty, too long or not printable.")
        scopes = _scopes(found)
        roles = {Role.PREDICT} if not self._scope or self._scope in scopes else set()
        if METRICS_SCOPE in scopes:
            roles.add(Role.METRICS)
        return Claims(subject, float(found["exp"]) + self._leeway, frozenset(roles))


def open_verifier(settings: Settings) -> Verifier | None:
    """The verifier that the settings ask for; None when they ask for none.

    Raises:
        SettingsError: one setting lacks another, or cannot be used.
    """
    given = {
        "PILOTAGE_AUTH_JWKS": settings.auth_jwks,
        "PILOTAGE_AUTH_JWT_ISSUER": settings.auth_jwt_issuer,
        "PILOTAGE_AUTH_JWT_AUDIENCE": settings.auth_jwt_audience,
    }
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return None
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise errors.SettingsError(
            f"JSON Web Tokens need {', '.join(given)}; {' and '.join(missing)} {verb} not set.",
            remedy="Set all three, or none.",
            missing=missing,
        )
    wrong = [name for name in settings.auth_jwt_algorithms if name not in ALGORITHMS]
    if wrong or not settings.auth_jwt_algorithms:
        raise errors.SettingsError(
            f"PILOTAGE_AUTH_JWT_ALGORITHMS: {', '.join(wrong) or 'nothing'} cannot be taken, only signatures"
            f" with a public key: {', '.join(ALGORITHMS)}.",
            remedy="Correct or unset it.",
        )
    from pilotage.serving.security.keysets import KeySet

    return Verifier(settings, KeySet(settings.auth_jwks, settings.auth_jwt_algorithms))


def _scopes(found: dict[str, Any]) -> frozenset[str]:
    """Scopes in the claim `scope` (RFC 8693, a text) or `scp` (a list or a text)."""
    for claim in ("scope", "scp"):
        value = found.get(claim)
        if isinstance(value, str):
            return frozenset(value.split())
        if isinstance(value, list):
            return frozenset(item for item in value if isinstance(item, str))
    return frozenset()


def _refused(detail: str) -> Problem:
    return problems.unauthorized(detail, "invalid_token")


def _reason(error: jwt.PyJWTError) -> str:
    """What is wrong, in fixed words: no text of the token's goes into a header."""
    import jwt

    for kind, text in (
        (jwt.ExpiredSignatureError, "The token expired."),
        (jwt.ImmatureSignatureError, "The token is not in force yet."),
        (jwt.InvalidAudienceError, "The token is for another audience."),
        (jwt.InvalidIssuerError, "The token is of another issuer."),
        (jwt.MissingRequiredClaimError, "The token lacks one of exp, iss, aud and sub."),
        (jwt.InvalidSignatureError, "The token's signature is wrong."),
    ):
        if isinstance(error, kind):
            return text
    return "The token cannot be read."
