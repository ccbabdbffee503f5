"""What one serving process answers, beside a handler that does nothing and beside other servers of models."""
