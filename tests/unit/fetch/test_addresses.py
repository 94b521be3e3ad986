"""Where the operator may be sent by a user or by a hub, and where it may not."""

from __future__ import annotations

import pytest
from yarl import URL

from shardwright.fetch.addresses import check_url, is_local
from shardwright.fetch.http import HubReader, open_session
from shardwright.fetch.model import HubModel, fetch_model
from shardwright.fetch.problem import FetchProblem
from support.hub import LocalHub


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest", "http://[fe80::1%25eth0]/", "http://[::ffff:169.254.169.254]/",
        "http://100.100.100.200/", "http://168.63.129.16/", "http://[fd00:ec2::254]/", "http://0.0.0.0/",
        "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/", "ftp://hub.example/", "file:///etc/passwd",
        "http://224.0.0.1/", "hub.example/x",
    ],
)  # fmt: skip
def test_forbidden(url: str) -> None:
    with pytest.raises(FetchProblem):
        check_url(URL(url), loopback=False)


@pytest.mark.parametrize("url", ["https://huggingface.co/a", "http://10.1.2.3:8080/", "http://mirror.models.svc/hf"])
def test_allowed(url: str) -> None:
    check_url(URL(url), loopback=False)


async def test_a_name_that_leads_to_a_forbidden_address(hub: LocalHub) -> None:
    """`localhost.` and its like resolve to this machine: the name looks harmless, its address is judged."""
    async with open_session(loopback=False, proxies=False) as session:
        port = hub.url.rpartition(":")[2]
        for name in ("127.0.0.1", "localhost", "ip6-localhost", "127.1", "0x7f000001"):
            with pytest.raises(FetchProblem):
                await fetch_model(HubReader(session), HubModel(f"http://{name}:{port}", "org/small"), 5)
    assert hub.asked == []


def test_local_hosts() -> None:
    assert is_local("127.0.0.1") and is_local("localhost") and is_local("::1")
    assert not is_local("huggingface.co") and not is_local("10.0.0.1") and not is_local("")
