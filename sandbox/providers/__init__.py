"""The Pulumi providers that stand in for `aws` and `kubernetes` where their plugins cannot be installed."""
