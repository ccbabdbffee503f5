"""The shipped demonstration: real rides, real processes, one replayed clock."""
