"""Whether stated probabilities are the observed frequencies."""
