"""A scripted OpenID provider: discovery, keys that rotate, tokens, and times when it is down."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.support.service import Reply, Scripted, Service, reply_json


def rsa_key() -> rsa.RSAPrivateKey:
    """A key pair as providers have."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class OpenIdProvider(Scripted):
    """`discovery` maps paths to issuers: each path is a discovery document with the same keys."""

    def __init__(self, discovery: dict[str, str] | None = None) -> None:
        self.service = Service()
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("first")
        self.down = False
        self.delay = 0.0
        for path, issuer in (discovery or {"/.well-known/openid-configuration": ""}).items():
            self.service.routes[path] = lambda request, issuer=issuer: self._document(issuer)
        self.service.routes["/keys"] = lambda request: self._keys()

    @property
    def url(self) -> str:
        """The root."""
        return self.service.url

    @property
    def config(self) -> str:
        """The URL of the first discovery document."""
        return self.url + next(iter(self.service.routes))

    @property
    def issuer(self) -> str:
        """The issuer, where `discovery` names none."""
        return self.url

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return sum(request.path == "/keys" for request in self.service.requests)

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.keys = {kid: rsa_key()}

    def token(self, **claims: Any) -> str:
        """A token good for a minute; a claim of None is left out."""
        kid, key = next(iter(self.keys.items()))
        defaults = {"iss": self.issuer, "aud": "api", "sub": "someone", "exp": int(time.time()) + 60}
        given = {name: value for name, value in {**defaults, **claims}.items() if value is not None}
        return jwt.encode(given, key, algorithm="RS256", headers={"kid": kid})

    def _document(self, issuer: str) -> Reply:
        if self.down:
            return Reply(500)
        reply = reply_json({"issuer": issuer or self.issuer, "jwks_uri": self.url + "/keys"})
        reply.delay = self.delay
        return reply

    def _keys(self) -> Reply:
        if self.down:
            return Reply(500)
        keys = [
            {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return reply_json({"keys": keys})
