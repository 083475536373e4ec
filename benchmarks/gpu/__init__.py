"""What only a graphics card can show: agreement with the CPU, steps, projections, quality, synthesis, processes."""
