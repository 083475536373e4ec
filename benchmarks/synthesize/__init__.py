"""How long a synthetic CT of two films takes, and what registering them to the average head is worth."""
