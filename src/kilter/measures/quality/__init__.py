"""Whether the data and the runtime are fit for use."""
