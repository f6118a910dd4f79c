"""Desired state: the Pulumi programs and Argo manifests, from configuration and settings to resources."""
