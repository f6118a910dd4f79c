"""Tells a pipeline's channels how a run ended: in processes of their own, so that none stops or delays another."""
