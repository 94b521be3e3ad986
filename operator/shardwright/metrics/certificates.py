"""The certificate of the external metrics API: made here, kept in one Secret, renewed long before it ends.

The API server trusts it by the caBundle of the APIService, which is kept equal to the Secret's authorities. A renewal
keeps the old authority beside the new one, so that no order of the two writes locks the API server out.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shardwright.api.labels import FIELD_MANAGER, MANAGED_BY
from shardwright.metrics.front_proxy import ApiRequest, JsonObject

SECRET_NAME = "shardwright-external-metrics"
API_SERVICE_PATH = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=120)
_CLOCK_SKEW = timedelta(hours=1)


class CertificateError(Exception):
    """The Secret or the APIService cannot be read or written; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A serving certificate with its key, and the authorities that clients should trust; all PEM."""

    authorities: bytes
    certificate: bytes
    key: bytes


def make_bundle(names: Sequence[str], now: datetime, older: bytes = b"") -> Bundle:
    """Make a new authority and a certificate for these DNS names; `older` authorities stay trusted."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shardwright external metrics")])
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, issuer, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8
    return Bundle(
        authorities=authority.public_bytes(serialization.Encoding.PEM) + older,
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def is_good(bundle: Bundle, names: Sequence[str], now: datetime) -> bool:
    """Whether it serves these names, belongs together, and is far from its end."""
    try:
        certificate = x509.load_pem_x509_certificate(bundle.certificate)
        authorities = x509.load_pem_x509_certificates(bundle.authorities)
        key = serialization.load_pem_private_key(bundle.key, None)
        certificate.verify_directly_issued_by(authorities[0])
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, x509.InvalidVersion):
        return False
    served = set(alternative.get_values_for_type(x509.DNSName))
    return (
        key.public_key() == certificate.public_key()
        and set(names) <= served
        and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    )


def _living(authorities: bytes, now: datetime) -> bytes:
    """Keep the newest old authority if it has not ended; more than two never pile up."""
    try:
        old = [one for one in x509.load_pem_x509_certificates(authorities) if now < one.not_valid_after_utc]
    except ValueError:
        return b""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in old[:1])


async def keep_bundle(request: ApiRequest, namespace: str, names: Sequence[str], now: datetime) -> Bundle:
    """Read the Secret and renew it where needed; of two operators at once one wins. Raises CertificateError."""
    collection = f"/api/v1/namespaces/{namespace}/secrets"
    for _ in range(3):
        status, secret = await request("GET", f"{collection}/{SECRET_NAME}", None)
        if status not in (200, 404):
            raise CertificateError(f"secret {namespace}/{SECRET_NAME} cannot be read: {_why(status, secret)}")
        known = _from_secret(secret) if status == 200 else None
        if known is not None and is_good(known, names, now):
            return known
        made = make_bundle(names, now, _living(known.authorities, now) if known else b"")
        body = _to_secret(made, namespace, secret if status == 200 else {})
        verb, path = ("PUT", f"{collection}/{SECRET_NAME}") if status == 200 else ("POST", collection)
        status, answer = await request(verb, f"{path}?fieldManager={FIELD_MANAGER}", body)
        if status in (200, 201):
            return made
        if status not in (404, 409):
            raise CertificateError(f"secret {namespace}/{SECRET_NAME} cannot be written: {_why(status, answer)}")
    raise CertificateError(f"secret {namespace}/{SECRET_NAME} is written by others all the time")


async def keep_api_service(request: ApiRequest, authorities: bytes) -> bool:
    """Make the APIService trust these authorities; False where there is none. Raises CertificateError."""
    status, service = await request("GET", API_SERVICE_PATH, None)
    if status == 404:
        return False
    if status != 200:
        raise CertificateError(f"the APIService cannot be read: {_why(status, service)}")
    wanted = base64.b64encode(authorities).decode()
    if (service.get("spec") or {}).get("caBundle") == wanted:
        return True
    patch = {"spec": {"caBundle": wanted, "insecureSkipTLSVerify": False}}
    status, answer = await request("PATCH", f"{API_SERVICE_PATH}?fieldManager={FIELD_MANAGER}", patch)
    if status != 200:
        raise CertificateError(f"the APIService cannot be patched: {_why(status, answer)}")
    return True


def _from_secret(secret: JsonObject) -> Bundle | None:
    data = secret.get("data") or {}
    try:
        return Bundle(*(base64.b64decode(data[key], validate=True) for key in ("ca.crt", "tls.crt", "tls.key")))
    except (KeyError, TypeError, binascii.Error):
        return None


def _to_secret(bundle: Bundle, namespace: str, old: JsonObject) -> dict[str, Any]:
    parts = {"ca.crt": bundle.authorities, "tls.crt": bundle.certificate, "tls.key": bundle.key}
    metadata: dict[str, Any] = {"name": SECRET_NAME, "namespace": namespace, "labels": {MANAGED_BY: "shardwright"}}
    if version := (old.get("metadata") or {}).get("resourceVersion"):
        metadata["resourceVersion"] = version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": old.get("type", "kubernetes.io/tls"),
        "metadata": metadata,
        "data": {key: base64.b64encode(value).decode() for key, value in parts.items()},
    }


def _why(status: int, answer: JsonObject) -> str:
    return f"{status or 'no answer'}: {answer.get('message', '')}"
