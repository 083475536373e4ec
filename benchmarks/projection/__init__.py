"""The projector beside its peers: accuracy against closed forms, speed on the same work, pictures."""
