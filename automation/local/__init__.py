"""A run without a cluster: the stages of a commit or of the working tree, one after another, on this machine."""
