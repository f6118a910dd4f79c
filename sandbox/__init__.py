"""The embedded target: a real Kubernetes, Argo, an AWS stand-in and a git host on one machine."""
