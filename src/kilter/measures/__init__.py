"""Pure numbers: arrays in, readings out."""
