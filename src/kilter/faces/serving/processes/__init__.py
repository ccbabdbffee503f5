"""The processes of a node: a supervisor that serves nothing, and the acceptors that it keeps alive."""
