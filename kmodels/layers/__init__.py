"""What two architectures share."""
