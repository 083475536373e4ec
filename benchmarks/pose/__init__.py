"""Poses of films with all their physics against a CT of the same person, and against other persons'."""
