"""Where the API server is and how to prove who we are: a pod's service account, else KUBECONFIG. Sends no request."""

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.configuration import Configuration
from yaml import YAMLError

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_UNUSABLE = (
    kubernetes_config.ConfigException, YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError
)  # fmt: skip
"""What the client raises on files that are no kubeconfig."""


class LoginError(Exception):
    """No usable credentials; the text says where they were looked for."""


@dataclass(frozen=True, slots=True)
class Login:
    """Everything a connection needs. `authorization` is asked before each request, so that tokens may be renewed."""

    server: str
    authorization: Callable[[], Awaitable[str | None]]
    """The value of the Authorization header, or None where a client certificate speaks."""
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool
    server_name: str | None
    proxy: str | None

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, or None for a plain http server."""
        if not self.server.startswith("https"):
            return None
        context = ssl.create_default_context(cafile=self.ca_path)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_path:
            context.load_cert_chain(self.certificate_path, self.private_key_path)
        return context


async def login(environment: dict[str, str] | None = None) -> Login:
    """Credentials from KUBECONFIG if it is set, else from the pod's service account, else from ~/.kube/config.

    Raises LoginError where none of them can be used.
    """
    values = os.environ if environment is None else environment
    configuration = Configuration()
    try:
        if not values.get("KUBECONFIG") and SERVICE_ACCOUNT_TOKEN.exists():  # noqa: ASYNC240  # once, before the loop has work
            kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            _look_for(values.get("KUBECONFIG") or kubernetes_config.KUBE_CONFIG_DEFAULT_LOCATION)
            await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=values.get("KUBECONFIG") or None, client_configuration=configuration, persist_config=False
            )
    except (
        kubernetes_config.ConfigException,
        YAMLError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        raise LoginError(
            f"no way to reach a cluster: {error}; set KUBECONFIG to a kubeconfig file, or run in a pod that has a "
            "service account"
        ) from error
    return _from_configuration(configuration)


def _look_for(paths: str) -> None:
    """The client would go on without its file and complain of what is not in it. Raises OSError."""
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise FileNotFoundError(f"there is no kubeconfig file {paths}")


def _from_configuration(configuration: Configuration) -> Login:
    async def authorization() -> str | None:
        key = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if not key:
            return str(configuration.get_basic_auth_token()) if configuration.username else None
        scheme, _, token = key.strip().rpartition(" ")
        return f"{scheme.capitalize() or 'Bearer'} {token}"

    return Login(
        server=str(configuration.host).rstrip("/"),
        authorization=authorization,
        ca_path=configuration.ssl_ca_cert,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        insecure=not configuration.verify_ssl,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
    )
