"""What a generator loses when the radiographs are not quite what the study says."""
