"""Stand-ins for what Azure puts beside an app: the managed identity endpoint (App Service protocol) and a Key Vault.

with AzurePlatform(tmp_path) as azure:
    gateway(config, env=azure.environment)     # azure-identity finds the endpoint, TLS trusts the vault
"""

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.authority import Authority

HEADER = "identity-header-of-the-tests"


class AzurePlatform:
    """Both servers on loopback. `tokens` lists (resource, client id) asked for; `secrets` is what the vault holds,
    `asked` what it was asked for, and with `vault_away` it answers 503."""

    def __init__(self, folder: Path) -> None:
        self.tokens: list[tuple[str, str | None]] = []
        self.secrets: dict[str, str] = {}
        self.asked: list[str] = []
        self.vault_away = False
        self.failing = False
        self.lifetime = 86_400.0
        self.delay = 0.0
        authority = Authority()
        self._ca = folder / "vault-ca.pem"
        authority.pem(self._ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("localhost").pem(folder / "vault.pem"))
        self._identity = _serve(self._token)
        self._vault = _serve(self._secret)
        self._vault.socket = context.wrap_socket(self._vault.socket, server_side=True)

    @property
    def environment(self) -> dict[str, str]:
        """What App Service tells an app, and trust in the vault's certificate."""
        return {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self._identity.server_port}/msi/token",
            "IDENTITY_HEADER": HEADER,
            "WEBSITE_SITE_NAME": "gateway-under-test",
            "GATEWAY_KEY_HASH_SECRET": "the secret of the tests",
            "GATEWAY_ALL_ACCESS_KEY": "built-in-all-access-key",
            "SSL_CERT_FILE": str(self._ca),
        }

    @property
    def vault_url(self) -> str:
        """The vault's root URL."""
        return f"https://localhost:{self._vault.server_port}"

    def __enter__(self) -> Self:
        for server in (self._identity, self._vault):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._identity, self._vault):
            server.shutdown()
            server.server_close()

    def _token(self, path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path != "/msi/token" or headers.get("x-identity-header") != HEADER:
            return 401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong"}
        time.sleep(self.delay)
        self.tokens.append((query["resource"], query.get("client_id")))
        if self.failing:
            return 500, {"statusCode": 500, "message": "out of order"}
        token = f"token-{len(self.tokens)}-for-{query['resource']}"
        expires = str(int(time.time() + self.lifetime))
        return 200, {
            "access_token": token,
            "expires_on": expires,
            "resource": query["resource"],
            "token_type": "Bearer",
        }

    def _secret(self, path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if not headers.get("authorization", "").endswith("-for-https://vault.azure.net"):
            return 401, {"error": {"code": "Unauthorized"}}
        name = path.removeprefix("/secrets/").partition("/")[0]
        self.asked.append(name)
        if self.vault_away:
            return 503, {"error": {"code": "ServiceUnavailable"}}
        if name not in self.secrets or "api-version" not in query:
            return 404, {"error": {"code": "SecretNotFound"}}
        return 200, {"value": self.secrets[name], "id": path}


def _serve(answer: Callable[[str, dict[str, str], dict[str, str]], tuple[int, dict[str, Any]]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, body = answer(parts.path, query, {name.lower(): value for name, value in self.headers.items()})
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
