"""What clusters get is what was reviewed, it is valid Kubernetes, and the engines' parsers take every command line."""

import json
import re

import kubernetes_validate
import pytest
import yaml

from fake_engine import trtllm_parser, vllm_parser
from golden.cases import CASES, COMMANDS, FOLDER, Case, objects_of, text_of
from golden.commands import command_lines, engine_container
from golden.rewrite import commands_text

OTHERS = frozenset({"resource.nvidia.com/v1beta1"})
"""API versions that are none of Kubernetes' own."""
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@by_name
def test_manifests_are_as_reviewed(case: Case):
    assert text_of(case) == (FOLDER / f"{case.name}.yaml").read_text(), "run `make golden` and review the difference"


def test_no_file_without_a_case():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {case.name for case in CASES}
    assert len(CASES) >= 30


def test_command_lines_are_as_reviewed():
    assert commands_text() == COMMANDS.read_text(), "run `make golden` and review the difference"


@by_name
def test_manifests_are_valid_kubernetes(case: Case):
    for document in yaml.safe_load_all(text_of(case)):
        if document["apiVersion"] not in OTHERS:
            kubernetes_validate.validate(document, "1.37", strict=True)


@by_name
def test_rendering_twice_gives_the_same_bytes(case: Case):
    assert json.dumps(objects_of(case)) == json.dumps(objects_of(case))


ROWS = [json.loads(line) for line in COMMANDS.read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}-{row['pod']}")
def test_engines_take_every_command_line(row, tmp_path):
    argv = row["argv"]
    if argv[0] == "vllm":
        args = vllm_parser.parse(argv[1:])
        assert args.headless == (row["pod"] > 0 and not args.data_parallel_hybrid_lb)
        assert args.nnodes == 1 or args.node_rank == row["pod"]
        return
    case = next(case for case in CASES if case.name == row["case"])
    if case.layout.nodes_per_replica > 1:
        assert argv[0] == ("python3" if row["pod"] else "mpirun")
        argv = argv[argv.index(LAUNCHER) + 1 :] if LAUNCHER in argv else []
    if argv:
        args = trtllm_parser.parse(with_real_files(case, argv[1:], tmp_path))
        assert args.gpus_per_node in {None, case.layout.gpus_per_pod}


LAUNCHER = "trtllm-llmapi-launch"


def with_real_files(case: Case, argv: list[str], folder) -> list[str]:
    """The options file under its path of this test, as the ConfigMap would mount it."""
    for document in objects_of(case):
        for name, text in document.get("data", {}).items():
            (folder / name).write_text(text)
    return [word.replace("/etc/shardwright", str(folder)) for word in argv]


def claimed(case: Case) -> int:
    """GPUs that a pod claims by attribute."""
    template = next(one for one in objects_of(case) if one["kind"] == "ResourceClaimTemplate")
    return sum(one["exactly"]["count"] for one in template["spec"]["spec"]["devices"]["requests"])


@by_name
def test_layout_times_pods_is_what_is_requested(case: Case):
    container = engine_container(case)
    if not container:
        return
    resources = container["resources"]
    gpus = sum(int(v) for k, v in resources["limits"].items() if re.search("gpu", k)) or claimed(case)
    assert gpus == case.layout.gpus_per_replica // case.layout.nodes_per_replica
    for line in command_lines(case):
        if line[:2] == ["python3", "/etc/shardwright/mpi_agent.py"]:
            continue
        assert product_of(line) == case.layout.gpus_per_replica


SIZE = re.compile(r"--(?:(?:tensor|pipeline|data)-parallel-size|tp_size|pp_size)=(\d+)")


def product_of(line: list[str]) -> int:
    """TP x PP x DP as the engine will read it."""
    product = 1
    for word in line:
        found = SIZE.fullmatch(word)
        product *= int(found[1]) if found else 1
    return product


@by_name
def test_no_pod_has_two_disruption_budgets(case: Case):
    objects = objects_of(case)
    budgets = [d["spec"]["selector"]["matchLabels"] for d in objects if d["kind"] == "PodDisruptionBudget"]
    for document in objects:
        if document["kind"] == "StatefulSet":
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert sum(selector.items() <= labels.items() for selector in budgets) == 1


@by_name
def test_everything_is_owned_and_labelled(case: Case):
    for document in objects_of(case):
        (owner,) = document["metadata"]["ownerReferences"]
        assert owner["controller"] is True
        assert owner["blockOwnerDeletion"] is True
        assert document["metadata"]["labels"]["shardwright.io/deployment"] == case.name
        assert (document["kind"], document["metadata"]["name"]) != ("Service", "vllm")
