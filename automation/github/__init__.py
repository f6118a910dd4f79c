"""GitHub's side of a pipeline: the webhook that tells it of pushes and pull requests."""
