"""Pure decisions: readings in, verdicts and transitions out."""
