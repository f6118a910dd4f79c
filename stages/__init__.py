"""What runs inside a run's pods: `python -m stages NAME`, one module a stage."""
