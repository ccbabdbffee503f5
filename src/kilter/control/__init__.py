"""The closed loop that never stops turning."""
