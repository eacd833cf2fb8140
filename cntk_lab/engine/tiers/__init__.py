"""What every tier promises: the protocols between whoever asks and whoever computes."""
