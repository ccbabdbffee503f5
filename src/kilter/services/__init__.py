"""The verbs of kilter: ports in, records out."""
