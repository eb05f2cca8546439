"""Names of what lies in a run directory."""

TRAJECTORIES_FILE = "trajectories.parquet"
TRAIN_LOG_FILE = "train_log.parquet"
PARTS_DIR = "parts"
