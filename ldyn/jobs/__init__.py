"""What runs many runs: sweeps, reproductions, SLURM."""
