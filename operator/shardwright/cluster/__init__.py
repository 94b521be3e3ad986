"""The only room that speaks to the Kubernetes API. Knows no models and decides nothing."""
