"""From a layout to the command that serves it, one file per engine. Knows no manifests."""
