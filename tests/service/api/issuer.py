"""An OpenID Connect issuer on a loopback address: discovery document, public keys, and tokens signed with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://nowcasts.example.org"


class Issuer:
    """Signs with the key `kid`. `published`: the keys that it serves. `requests`: the paths that were asked for."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"
        self.reset()

    def reset(self):
        """Be as at the start, with one key."""
        self.requests = []
        self.private = {}
        self.published = []
        self.redirect = None
        discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.documents = {
            "/realm/.well-known/openid-configuration": lambda: discovery,
            "/realm/keys": lambda: {"keys": self.published},
        }
        self.add_key("first")

    def _handler(self):
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.requests.append(self.path)
                found = issuer.documents.get(self.path)
                self.send_response(302 if issuer.redirect else 200 if found else 404)
                if issuer.redirect:
                    self.send_header("Location", issuer.redirect)
                self.end_headers()
                if found:
                    self.wfile.write(json.dumps(found()).encode())

            def log_message(self, *_):
                pass

        return Handler

    def add_key(self, kid, algorithm="RS256"):
        """Make a key and publish it."""
        if algorithm == "RS256":
            self.private[kid] = rsa_key(kid)
            jwk = RSAAlgorithm.to_jwk(self.private[kid].public_key(), as_dict=True)
        else:
            self.private[kid] = ec.generate_private_key(ec.SECP256R1())
            jwk = ECAlgorithm.to_jwk(self.private[kid].public_key(), as_dict=True)
        self.published.append({**jwk, "kid": kid, "use": "sig", "alg": algorithm})

    def claims(self, **changes):
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "anna", "iat": now, "exp": now + 300}
        whole = {**whole, "scope": "openid echocast:read echocast:nowcast", **changes}
        return {name: value for name, value in whole.items() if value is not None}

    def token(self, *, kid="first", algorithm="RS256", **changes):
        """Return a token; a claim that is None is left out."""
        return jwt.encode(self.claims(**changes), self.private[kid], algorithm, headers={"kid": kid})


def handmade(header, claims, secret=None):
    """Return a token as no library makes one: without a signature, or with an HMAC."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), hashlib.sha256) if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@cache
def rsa_key(kid):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def served_issuer():
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.server.shutdown()
        thread.join()
        issuer.server.server_close()
