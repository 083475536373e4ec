"""The coordinator's side: consortium, link, rounds, report."""
