"""What lies on disk of a run: folder, lock, record, metrics, checkpoints, clusters."""
