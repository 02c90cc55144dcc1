"""The key by which push services know this service (VAPID, RFC 8292)."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final, Self

from model.core.extras import optional_imports
from model.core.settings import BadSetting
from service.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

TOKEN_SECONDS: Final = 12 * 3600
"""How long a token is valid: at most a day (RFC 8292, section 2)."""


class VapidKey:
    """A private key of the curve P-256, and where to reach the operator."""

    def __init__(self, key: EllipticCurvePrivateKey, contact: str) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        self._contact = contact
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = urlsafe_b64encode(point).rstrip(b"=").decode()
        """The public key as browsers ask for it, in base64url."""

    @classmethod
    def of_settings(cls, settings: Settings) -> Self | None:
        """Return the key of the settings; None: web push is off.

        Raises
        ------
        BadSetting
            The file is no such key, or there is no contact.
        MissingDependency
            The extra `push` is not installed.
        """
        path = settings.push_vapid_key
        if path is None:
            return None
        with optional_imports("ECHOCAST_PUSH_VAPID_KEY"):
            import http_ece  # noqa: F401 - a worker needs it
            import jwt  # noqa: F401 - it signs
            from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        where = "ECHOCAST_PUSH_VAPID_KEY"
        hint = "Make one: openssl ecparam -name prime256v1 -genkey -noout -out vapid.pem"
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise BadSetting(f"{path} cannot be read ({error.strerror})", where=where, hint=hint) from None
        except (ValueError, TypeError):
            raise BadSetting(f"{path} has no private key (PEM)", where=where, hint=hint) from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise BadSetting(f"the key in {path} is not of the curve P-256", where=where, hint=hint)
        if settings.push_contact is None:
            hint = "Set it to an address of yours, such as mailto:radar@example.org"
            raise BadSetting("web push needs it", where="ECHOCAST_PUSH_CONTACT", hint=hint)
        return cls(key, settings.push_contact)

    def authorization(self, origin: str) -> str:
        """Return the value of the header `Authorization` for a push service."""
        import jwt

        claims = {"aud": origin, "exp": int(time.time()) + TOKEN_SECONDS, "sub": self._contact}
        token = jwt.encode(claims, self._key, algorithm="ES256")
        return f"vapid t={token}, k={self.public}"

    def digest_of(self, text: str) -> str:
        """Return a digest of a text that nobody without the key can search for: 32 hexadecimal digits."""
        return hmac.new(self._secret(), text.encode(), hashlib.sha256).hexdigest()[:32]

    def _secret(self) -> bytes:
        return self._key.private_numbers().private_value.to_bytes(32, "big")
