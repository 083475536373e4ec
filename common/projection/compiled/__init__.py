"""The sweep over planes and its transpose, compiled for the CPU: ``volume_sweep`` calls the rest."""
