"""The pipeline model: configuration, runs, stages and errors. Pure; imports no cloud SDK."""
