"""Our own metrics, the engines' metrics, and the external metrics API. Decides nothing about deployments."""
