"""From nothing to a first run, and what an account needs before a pipeline deploys to it."""
