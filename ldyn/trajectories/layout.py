"""Names of what lies in a run folder."""

TRAJECTORIES_FILE = "trajectories.parquet"
TRAIN_LOG_FILE = "train_log.parquet"
PARTS_FOLDER = "parts"
