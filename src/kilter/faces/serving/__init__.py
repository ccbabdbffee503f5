"""The data plane over HTTP: predictions and feedback, answered by one process per core."""
