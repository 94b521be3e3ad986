"""The product's face: the resource's models, its keys and its reason words. Knows nothing below it."""
