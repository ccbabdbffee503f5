"""Child processes with little power, for files that may run code; nothing outside the room imports it."""
