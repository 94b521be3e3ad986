"""Reading whom to trust and who a request says it is from; the handshake is tested on a real control plane."""

import pytest

from shardwright.metrics.front_proxy import (
    FrontProxy,
    FrontProxyError,
    NotAuthenticatedError,
    Reviewer,
    User,
    authenticate,
    read_front_proxy,
)

PEM = "-----BEGIN CERTIFICATE-----\n…"
TRUST = FrontProxy(PEM, allowed_names=("front-proxy-client",))


def certificate(name):
    return {"subject": ((("organizationName", "o"),), (("commonName", name),))}


def test_what_the_api_server_publishes_is_read():
    data = {
        "requestheader-client-ca-file": PEM,
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
    assert read_front_proxy({"data": data}) == TRUST


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "--requestheader-client-ca-file"),
        (None, "--requestheader-client-ca-file"),
        ({"requestheader-client-ca-file": PEM, "requestheader-allowed-names": "front"}, "requestheader-allowed-names"),
        ({"requestheader-client-ca-file": PEM, "requestheader-allowed-names": "[1]"}, "no list of words"),
    ],
)
def test_a_cluster_that_trusts_nobody_is_said_to(data, words):
    with pytest.raises(FrontProxyError, match=words):
        read_front_proxy({"data": data})


def test_a_user_is_read_whole():
    headers = [
        ("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
        ("X-Remote-Group", "system:serviceaccounts"),
        ("X-Remote-Group", "system:authenticated"),
        ("X-Remote-Uid", "42"),
        ("X-Remote-Extra-Scopes.example%2fx", "a"),
        ("X-Remote-Extra-Scopes.example%2fx", "b"),
        ("Authorization", "Bearer nobody-asks-for-this"),
    ]
    assert authenticate(TRUST, certificate("front-proxy-client"), headers) == User(
        name="system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        uid="42",
        groups=("system:serviceaccounts", "system:authenticated"),
        extra=(("scopes.example/x", ("a", "b")),),
    )


@pytest.mark.parametrize(
    ("shown", "headers"),
    [
        (None, [("X-Remote-User", "a")]),
        ({}, [("X-Remote-User", "a")]),
        (certificate("somebody"), [("X-Remote-User", "a")]),
        ({"subject": ()}, [("X-Remote-User", "a")]),
        (certificate("front-proxy-client"), []),
        (certificate("front-proxy-client"), [("X-Remote-User", "")]),
    ],
)
def test_who_is_not_authenticated(shown, headers):
    with pytest.raises(NotAuthenticatedError):
        authenticate(TRUST, shown, headers)


def test_without_allowed_names_any_certificate_of_the_authority_will_do():
    assert authenticate(FrontProxy(PEM), certificate("x"), [("X-Remote-User", "a")]).name == "a"


class Judge:
    """An API server that says what the test says, and counts how often it is asked."""

    def __init__(self, status, answer):
        self.status, self.answer, self.asked = status, answer, []

    async def __call__(self, method, path, body):
        self.asked.append((method, path, body))
        return self.status, self.answer


@pytest.mark.parametrize(
    ("verdict", "allowed"),
    [({"allowed": True}, True), ({"allowed": False}, False), ({"allowed": True, "denied": True}, False), ({}, False)],
)
async def test_only_a_plain_yes_is_a_yes(verdict, allowed):
    judge = Judge(201, {"status": verdict})
    assert await Reviewer(judge, lambda: 0.0).allows(User("a", groups=("g",)), path="/apis") is allowed
    (_, _, body) = judge.asked[0]
    assert body["spec"] == {
        "user": "a",
        "groups": ["g"],
        "nonResourceAttributes": {"path": "/apis", "verb": "get"},
    }


@pytest.mark.parametrize("status", [0, 403, 500])
async def test_no_judge_no_entry(status):
    with pytest.raises(FrontProxyError):
        await Reviewer(Judge(status, {"message": "no"}), lambda: 0.0).allows(User("a"), path="/apis")


async def test_an_answer_is_remembered_for_a_while_per_user_and_thing():
    now = [0.0]
    judge = Judge(201, {"status": {"allowed": True}})
    reviewer = Reviewer(judge, lambda: now[0], remember_seconds=10)
    for second, user, namespace in ((0, "a", "x"), (9, "a", "x"), (9, "a", "y"), (9, "b", "x"), (11, "a", "x")):
        now[0] = second
        assert await reviewer.allows(User(user), namespace=namespace, verb="list")
    assert len(judge.asked) == 4


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("system:kube-aggregator", (), ("system:authenticated",)),
        ("a", ("system:authenticated", "b"), ("system:authenticated", "b")),
        ("a", ("b",), ("b", "system:authenticated")),
        ("system:anonymous", ("system:unauthenticated",), ("system:unauthenticated",)),
    ],
)
def test_whoever_is_known_is_in_the_group_of_all_who_are(name, groups, expected):
    headers = [("X-Remote-User", name), *(("X-Remote-Group", group) for group in groups)]
    assert authenticate(TRUST, certificate("front-proxy-client"), headers).groups == expected
