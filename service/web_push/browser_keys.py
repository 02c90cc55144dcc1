"""The keys of a browser's push subscription (RFC 8291): what they must be, and what is encrypted with them."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Final

from model.core.errors import InputError

AUTH_BYTES: Final = 16
MAX_CONTENT_BYTES: Final = 3993
"""Of a message before it is encrypted (RFC 8291, section 4)."""


class BadBrowserKey(InputError):
    """A key of a push subscription cannot be used."""

    code = "invalid-parameter"


def check_browser_keys(p256dh: str, auth: str) -> None:
    """Check the keys of a subscription, in base64url without padding.

    Raises
    ------
    BadBrowserKey
        `p256dh` is no point of the curve P-256, or `auth` has not 16 bytes.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    hint = "Send what PushSubscription.toJSON() returns"
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decoded(p256dh))
    except ValueError:
        where = "subscription.keys.p256dh"
        raise BadBrowserKey("it is no public key of the curve P-256", where=where, hint=hint) from None
    try:
        right = len(decoded(auth)) == AUTH_BYTES
    except ValueError:
        right = False
    if not right:
        raise BadBrowserKey(f"it has not {AUTH_BYTES} bytes", where="subscription.keys.auth", hint=hint)


def decoded(text: str) -> bytes:
    """Return the bytes of a text in base64url without padding.

    Raises
    ------
    ValueError
        It is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encrypted(content: bytes, p256dh: str, auth: str) -> bytes:
    """Return a message that only the browser can read, in the encoding `aes128gcm` (RFC 8188)."""
    import http_ece
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    once = generate_private_key(SECP256R1())
    body: bytes = http_ece.encrypt(
        content, private_key=once, dh=decoded(p256dh), auth_secret=decoded(auth), version="aes128gcm"
    )
    return body
