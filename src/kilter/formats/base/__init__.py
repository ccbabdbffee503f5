"""What the drivers of this room are built on; nothing outside the room imports it."""
