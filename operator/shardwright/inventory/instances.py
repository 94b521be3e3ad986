"""NVIDIA GPUs of cloud instance types, by the clouds' public lists: a node's name for its GPUs until discovery has run.

One row a type; first match counts. Knows the catalogue's product names and nothing else.
"""

import re

_INSTANCES = tuple((re.compile(pattern, re.IGNORECASE), product) for pattern, product in (
    # AWS
    (r"^p3\.", "V100-SXM2-16GB"), (r"^p3dn\.", "V100-SXM2-32GB"), (r"^p4d\.", "A100-SXM4-40GB"),
    (r"^p4de\.", "A100-SXM4-80GB"), (r"^p5\.", "H100-SXM"), (r"^p5en?\.", "H200-SXM"), (r"^p6-b200\.", "B200"),
    (r"^p6-b300\.", "B300"), (r"^p6e-gb200\.", "GB200"), (r"^g4dn\.", "T4"), (r"^g5\.", "A10G"), (r"^g6\.", "L4"),
    (r"^g6e\.", "L40S"),
    # Google Cloud
    (r"^a2-(high|mega)gpu-", "A100-SXM4-40GB"), (r"^a2-ultragpu-", "A100-SXM4-80GB"),
    (r"^a3-(high|mega|edge)gpu-", "H100-SXM"), (r"^a3-ultragpu-", "H200-SXM"), (r"^a4-highgpu-", "B200"),
    (r"^a4x-highgpu-", "GB200"), (r"^g2-standard-", "L4"),
    # Azure
    (r"^Standard_NC\d.*_A100_", "A100-80GB-PCIe"), (r"^Standard_NC\d.*_H100_", "H100-NVL"),
    (r"^Standard_NC\d.*_T4_", "T4"),
    (r"^Standard_ND96asr_v4$", "A100-SXM4-40GB"), (r"^Standard_ND\d.*_A100_v4$", "A100-SXM4-80GB"),
    (r"^Standard_ND\d.*_H100_", "H100-SXM"), (r"^Standard_ND\d.*_H200_", "H200-SXM"),
    (r"^Standard_ND\d.*_GB200_", "GB200"),
    # Oracle
    (r"^BM\.GPU4\.8", "A100-SXM4-40GB"), (r"^BM\.GPU\.A100-v2\.", "A100-SXM4-80GB"), (r"^BM\.GPU\.H100\.", "H100-SXM"),
    (r"^BM\.GPU\.H200\.", "H200-SXM"), (r"^BM\.GPU\.B200\.", "B200"), (r"^BM\.GPU\.GB200\.", "GB200"),
))  # fmt: skip


def gpus_of_instance(instance_type: str) -> str | None:
    """The catalogue's name of an instance type's GPU; None where the type is not listed."""
    return next((product for pattern, product in _INSTANCES if pattern.search(instance_type)), None)
