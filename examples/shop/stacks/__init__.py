"""The shop's stacks, one module each."""
