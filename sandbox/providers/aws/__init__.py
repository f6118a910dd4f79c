"""The stand-in for the `aws` provider: each resource type is mapped to boto3 calls."""
