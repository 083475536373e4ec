"""The hospital's side: archive → learning → gate → link."""
