"""kilter's own protocol: rows in, predictions out, labels back."""
