"""Frozen records and ports: what the rooms of kilter say to one another."""
