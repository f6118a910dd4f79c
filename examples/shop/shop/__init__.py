"""What the shop knows apart from AWS."""
