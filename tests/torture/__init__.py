"""What takes minutes: swaps, kills and cuts by the hundred. ``make torture`` runs it, the normal tests a sample."""
