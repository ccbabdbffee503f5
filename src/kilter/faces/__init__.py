"""Ways in: parse, call once, render."""
