"""A claim that a plan's pods could not all mount is refused in words; kubelet would only let them wait."""

import pytest

from golden.cases import Case as Golden
from golden.cases import spec_of
from shardwright.api.reasons import Reason
from shardwright.engines.context import UnrenderableError
from shardwright.manifests.sharing import check_sharing
from shardwright.plan.types import Layout

MODEL = {"persistentVolumeClaim": {"claimName": "vol"}}
CACHE = {"hub": {"cache": {"claimName": "vol"}}}
ONE_POD, ONE_GROUP, TWO_PODS = [("a",)], [("a", "b")], [("a",), ("a",)]


def check(source, modes, replicas):
    spec = spec_of(Golden("x", {"model": {"id": "Qwen/Qwen3-8B", "source": source}}, Layout()))
    check_sharing(spec, replicas, {"vol": tuple(modes)} if modes is not None else {})


@pytest.mark.parametrize(
    ("source", "modes", "replicas"),
    [
        (MODEL, ["ReadWriteMany"], ONE_GROUP),
        (MODEL, ["ReadOnlyMany"], ONE_GROUP),
        (MODEL, ["ReadWriteOnce"], ONE_POD),
        (MODEL, ["ReadWriteOnce"], TWO_PODS),
        (MODEL, ["ReadWriteOncePod"], ONE_POD),
        (MODEL, ["ReadWriteOnce", "ReadWriteMany"], ONE_GROUP),
        (MODEL, [], ONE_GROUP),
        (MODEL, None, ONE_GROUP),
        (CACHE, ["ReadWriteMany"], ONE_GROUP),
        (CACHE, ["ReadWriteOnce"], ONE_POD),
    ],
)
def test_what_can_be_mounted_passes(source, modes, replicas):
    check(source, modes, replicas)


@pytest.mark.parametrize(
    ("source", "modes", "replicas", "says"),
    [
        (MODEL, ["ReadWriteOnce"], ONE_GROUP, "one node at a time can mount it, and this plan has pods on 2"),
        (MODEL, ["ReadWriteOncePod"], TWO_PODS, "one pod at a time can mount it, and this plan has 2"),
        (CACHE, ["ReadWriteOnce"], [("a",), ("b",)], "spec.model.source.hub.cache"),
        (CACHE, ["ReadOnlyMany"], ONE_POD, "downloads cannot be written to it"),
    ],
)
def test_what_cannot_is_named(source, modes, replicas, says):
    with pytest.raises(UnrenderableError) as error:
        check(source, modes, replicas)
    assert error.value.reason is Reason.CLAIM_NOT_SHARED
    assert says in error.value.message and "claim vol" in error.value.message
