"""From a spec and a plan to Kubernetes objects as plain dicts, one file per kind. Knows no cluster."""
