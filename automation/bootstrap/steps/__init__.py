"""The steps from nothing to a first run, each a small module: what of it there is, and the doing of it."""
