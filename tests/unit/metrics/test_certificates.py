"""Certificates: what is made is good for its names and time, and everything else is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from shardwright.metrics.certificates import LIFETIME, RENEW_BEFORE, is_good, make_bundle
from shardwright.metrics.serve import tls_context

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ("metrics.shardwright-system.svc", "metrics.shardwright-system.svc.cluster.local")
BUNDLE = make_bundle(NAMES, NOW)
OTHER = make_bundle(NAMES, NOW)


@pytest.mark.parametrize(
    ("case", "bundle", "names", "now", "good"),
    [
        ("new", BUNDLE, NAMES, NOW, True),
        ("fewer names wanted", BUNDLE, NAMES[:1], NOW, True),
        ("just before renewal", BUNDLE, NAMES, NOW + LIFETIME - RENEW_BEFORE - timedelta(seconds=1), True),
        ("time to renew", BUNDLE, NAMES, NOW + LIFETIME - RENEW_BEFORE, False),
        ("not yet valid", BUNDLE, NAMES, NOW - timedelta(days=1), False),
        ("another name wanted", BUNDLE, ("other.ns.svc",), NOW, False),
        ("key of another", replace(BUNDLE, key=OTHER.key), NAMES, NOW, False),
        ("authority of another", replace(BUNDLE, authorities=OTHER.authorities), NAMES, NOW, False),
        (
            "old authority behind the own",
            replace(BUNDLE, authorities=BUNDLE.authorities + OTHER.authorities),
            NAMES,
            NOW,
            True,
        ),
        ("no certificate", replace(BUNDLE, certificate=b"x"), NAMES, NOW, False),
        ("no key", replace(BUNDLE, key=b""), NAMES, NOW, False),
        ("no authority", replace(BUNDLE, authorities=b""), NAMES, NOW, False),
    ],
)
def test_what_is_good(case, bundle, names, now, good):
    assert is_good(bundle, names, now) is good, case


def test_older_authorities_stay_behind_the_new_one():
    renewed = make_bundle(NAMES, NOW, older=BUNDLE.authorities)
    first, second = x509.load_pem_x509_certificates(renewed.authorities)
    assert second == x509.load_pem_x509_certificate(BUNDLE.authorities)
    assert first != second


def test_the_key_reaches_tls_without_a_file_on_disk():
    assert tls_context(BUNDLE, OTHER.authorities.decode()).cert_store_stats()["x509_ca"] == 1


def test_a_key_of_another_is_an_os_error():
    with pytest.raises(OSError, match=r"(?i)mismatch"):
        tls_context(replace(BUNDLE, key=OTHER.key), OTHER.authorities.decode())
