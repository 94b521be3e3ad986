"""What a stranger types: every command ends in a sentence and a status, never in a traceback or a silent success."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

EXAMPLES = Path(__file__).parents[3] / "examples"
FLEET = str(EXAMPLES / "nodes-mixed-fleet.yaml")
SMALL = str(EXAMPLES / "dense-small.yaml")
DEEP = '{"a":' * 3000 + "1" + "}" * 3000
UNKNOWN_MODEL = {"model": {"id": "no/such"}}


def deployment(spec: object, **changes: object) -> str:
    head = {"apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment", "metadata": {"name": "x"}}
    return yaml.safe_dump(head | {"spec": spec} | changes)


def run(command: str, *arguments: str, stdin: str | bytes = "", **environment: str):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(importlib.import_module(f"shardwright.commands.{command}").command)
    return CliRunner(env=environment).invoke(app, list(arguments), input=stdin)


def refused(result, status: int, words: str) -> None:
    assert result.exit_code == status, (result.output, result.exception)
    assert words in " ".join(result.stderr.split()), result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["plan", "render"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "- holds no object: give a file with exactly one InferenceDeployment"),
        ("---\n---\n", "holds no object"),
        ("- a\n- b\n", "holds no object"),
        ("42", "holds no object"),
        ("kind: Pod\n---\nkind: Pod\n---\na: 1\n", "holds 2 × Pod, 1 × no kind"),
        ("a: [1", "neither YAML nor JSON"),
        ('{"a": ', "neither YAML nor JSON"),
        (DEEP, "neither YAML nor JSON"),
        (deployment(7, metadata=[1]), "spec is missing or not a mapping"),
        (deployment(UNKNOWN_MODEL, apiVersion="v9"), "apiVersion is 'v9': write shardwright.io/v1alpha1"),
        (deployment(UNKNOWN_MODEL, metadata={"name": "ä-ü"}), "metadata.name must be"),
        (deployment(UNKNOWN_MODEL), "no/such is not in the bundled catalogue"),
        (deployment({"model": {"id": "a/b"}, "replicas": 10**30}), "spec.replicas"),
    ],
    ids=lambda value: None if len(value) > 40 else value,
)
def test_manifests(command, text, words):
    refused(run(command, "-f", "-", "--nodes", FLEET, stdin=text), 2, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\x9b\xff\x00", "is no text in UTF-8"),
        (b"", "holds no object, no Node: give the output of kubectl get nodes,pods -A -o yaml"),
        (b"kind: Pod\n", "holds 1 × Pod, no Node"),
    ],
)
def test_node_files(tmp_path, content, words):
    file = tmp_path / "nodes.yaml"
    if content is not None:
        file.write_bytes(content)
    refused(run("plan", "-f", SMALL, "--nodes", str(file)), 2, words)


@pytest.mark.parametrize("content", [None, b"- a\n", b"\x9b", b"a: [", b"clusters: 5\ncurrent-context: x\n"])
def test_kubeconfigs(tmp_path, content):
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_bytes(content)
    result = run("plan", "-f", SMALL, KUBECONFIG=str(file))
    refused(result, 2, "or give --nodes FILE")
    assert content is not None or f"there is no kubeconfig file {file}" in result.stderr


def test_other_arguments(tmp_path):
    refused(run("plan", "-f", SMALL, "--nodes", FLEET, "--picture", str(tmp_path / "no" / "x.svg")), 2, "be written")
    refused(run("plan", "-f", SMALL, "--nodes", FLEET, "-o", "wrong"), 2, "not one of")
    refused(run("render", "-f", SMALL, "--nodes", FLEET, "-n", "Bad Name!"), 2, "can be no namespace")
    refused(run("topology", str(tmp_path)), 2, "Is a directory")
    refused(run("topology", "-"), 1, "no GPU matrix in it")


@pytest.mark.parametrize(
    ("content", "words"),
    [(DEEP, "cannot be read as JSON"), ("", "cannot be read as JSON"), ("[1]", "expected an object"), (None, "cannot")],
)
def test_model_configs(tmp_path, content, words):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    refused(run("inspect_model", str(tmp_path)), 1, words)
    refused(run("estimate", "--model", str(tmp_path), "--gpu", "H100"), 1, words)


def test_options_that_change_no_forecast_are_told():
    pairs = ("--arg", "max-model-len=banana", "--arg", "zzz=1", "--arg", "max-num-seqs=8")
    result = run("estimate", "--model", "Qwen/Qwen3-8B", "--gpu", "H100", *pairs)
    assert result.exit_code == 0
    assert result.stderr.count("changes nothing here") == 2
    assert "max-num-seqs" not in result.stderr
    refused(run("estimate", "--model", "Qwen/Qwen3-8B", "--gpu", "Zzz"), 1, "(--gpu-memory-gb)")
    refused(run("inspect_model", ""), 2, "give a config.json")


@pytest.mark.parametrize("example", ["dense-small", "dense-405b", "moe-671b", "trtllm"])
def test_a_plan_is_readable_at_80_columns(example, monkeypatch):
    monkeypatch.setattr("shardwright.commands.plan._FILE_WIDTH", 80)
    lines = run("plan", "-f", str(EXAMPLES / f"{example}.yaml"), "--nodes", FLEET).stdout.splitlines()
    tables = [line for line in lines if line.startswith("  ") and not line.startswith("  ·")]
    assert tables
    assert max(map(len, tables)) <= 80
    assert not [line for line in tables if "…" in line[:76]], "no cell is cut off"


def test_products_that_were_not_asked_for_are_told_with_those_that_were():
    spec = {"model": {"id": "Qwen/Qwen3-8B"}, "placement": {"gpuProducts": ["B300", "B200"]}}
    result = run("plan", "-f", "-", "--nodes", FLEET, stdin=deployment(spec))
    assert result.exit_code == 3
    assert "ProductNotWanted: spec.placement.gpuProducts asks for B300, B200" in result.stdout
    assert isinstance(json.loads(run("plan", "-f", SMALL, "--nodes", FLEET, "-o", "json").stdout)["rejected"], list)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("shardwright", f"{sys.executable} -m shardwright")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("shardwright crd > /dev/full", 1, "error: the output: No space left on device"),
        ("shardwright topology - <&-", 1, "no GPU matrix in it"),
        ("shardwright crd | head -1; exit ${PIPESTATUS[1]}", 0, ""),
    ],
)
def test_streams(line, status, said):
    done = shell(line)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_without_the_letters_still_shows_the_plan():
    done = shell(f"shardwright plan -f {SMALL} --nodes {FLEET}")
    assert done.returncode == 0, done.stderr
    assert "TP1?PP1" in done.stdout


def test_a_bug_is_one_sentence():
    line = "import shardwright.commands.guard as g; g.guarded(lambda: 1 / 0)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: a bug in Shardwright, please report it")
    assert done.stderr.count("\n") == 1
    assert "ZeroDivisionError" in done.stderr
