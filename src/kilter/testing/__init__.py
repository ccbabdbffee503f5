"""Conformance kits and fakes, for kilter and for third-party plug-ins."""
