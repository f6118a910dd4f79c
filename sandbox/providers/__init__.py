"""The Pulumi providers that stand in for `aws`, `kubernetes` and `eks` where their plugins cannot be installed."""
