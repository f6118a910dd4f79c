"""The node: every process of the sandbox, in namespaces of its own."""
