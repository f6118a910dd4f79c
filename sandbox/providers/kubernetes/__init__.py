"""The stand-in for the Pulumi Kubernetes provider where its plugin cannot be installed."""
