"""Places where work runs outside this process."""
