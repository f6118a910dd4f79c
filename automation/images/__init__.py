"""The images of the stages: built for every platform, described, and pushed to a registry."""
