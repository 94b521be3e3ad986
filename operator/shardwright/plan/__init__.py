"""From a model, a wish and an inventory to a layout and the reasons for it. Knows no Kubernetes."""
