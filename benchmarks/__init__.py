"""What is measured against peers: each program prints a table with ratios and writes ``results/NAME.json``."""
