"""How many single-row predictions one serving process answers, beside a handler that does nothing."""
