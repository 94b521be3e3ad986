"""The CRD: files are what the models say, everything is bounded and explained, the rewriter drops nothing unseen."""

from pathlib import Path

import pytest
import yaml

from shardwright.api import labels
from shardwright.api.cel import RULES
from shardwright.api.crd import MAX_BYTES, UnknownKeywordError, crd_yaml, custom_resource_definition, structural
from shardwright.api.reference import reference_markdown
from shardwright.api.status import CONDITIONS

ROOT = Path(__file__).parents[3]
SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(path, schema):
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(f"{path}.{name}", field)
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from fields(f"{path}[]", schema[word])


ALL = [pair for root in ("spec", "status") for pair in fields(root, SCHEMA["properties"][root])]


def test_the_file_in_crds_is_what_the_models_say():
    assert (ROOT / "crds" / "inferencedeployments.shardwright.io.yaml").read_text() == crd_yaml()


def test_the_reference_page_is_what_the_models_say():
    assert (ROOT / "docs" / "reference.md").read_text() == reference_markdown()


def test_it_is_yaml_and_small_enough_for_an_annotation():
    assert yaml.safe_load(crd_yaml()) == custom_resource_definition()
    assert len(crd_yaml().encode()) < MAX_BYTES


def test_every_string_list_and_map_of_the_spec_has_a_bound():
    unbounded = [
        path
        for path, field in ALL
        if (field["type"] == "string" and not {"maxLength", "enum"} & set(field))
        or (field["type"] == "array" and "maxItems" not in field)
        or ("additionalProperties" in field and "maxProperties" not in field)
    ]
    assert unbounded == []


def test_every_integer_of_the_spec_has_a_range():
    open_ended = [
        path for path, field in ALL if field["type"] == "integer" and path.startswith("spec") and "maximum" not in field
    ]
    assert open_ended == []


def test_no_field_has_a_default_in_the_schema():
    assert [path for path, field in ALL if "default" in field] == []


def test_what_can_be_set_at_the_top_is_explained():
    for name, field in SCHEMA["properties"]["spec"]["properties"].items():
        assert field.get("description"), name


def test_rules_say_what_to_do_and_belong_to_a_model():
    in_schema = sum(len(field.get("x-kubernetes-validations", ())) for _, field in ALL)
    assert in_schema >= len(RULES)
    assert all(len(rule.message) > 40 for rule in RULES)


def test_conditions_are_listed_once():
    items = SCHEMA["properties"]["status"]["properties"]["conditions"]
    assert items["maxItems"] == len(CONDITIONS) == 7
    assert items["x-kubernetes-list-map-keys"] == ["type"]


def test_scale_and_columns_are_those_of_the_design():
    version = custom_resource_definition()["spec"]["versions"][0]
    assert set(version["subresources"]) == {"status", "scale"}
    wide = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert wide == ["Model", "Layout", "GPU", "Ready", "Status", "Age"]
    assert custom_resource_definition()["metadata"]["name"] == f"{labels.PLURAL}.{labels.GROUP}"


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "object", "additionalProperties": False},
        {"type": "object"},
    ],
)
def test_what_a_structural_schema_cannot_say_raises(schema):
    with pytest.raises(UnknownKeywordError):
        structural(schema, {})


def test_references_are_inlined_and_the_field_keeps_its_own_words():
    definitions = {"Inner": {"type": "object", "description": "inner", "properties": {"a": {"type": "string"}}}}
    written = structural({"$ref": "#/$defs/Inner", "description": "outer"}, definitions)
    assert written == {"description": "outer", "type": "object", "properties": {"a": {"type": "string"}}}


def test_a_default_is_said_in_words():
    assert structural({"type": "boolean", "default": False}, {}) == {
        "description": "Default: false.",
        "type": "boolean",
    }
