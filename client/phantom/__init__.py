"""The procedural head, painted from implicit shapes; its average is the template that heads are aligned to."""

from client.phantom.anatomy import AIR_HU, HIGHEST_HU, LOWEST_HU, procedural_head, rotation_matrix, template_head

__all__ = [
    "AIR_HU",
    "HIGHEST_HU",
    "LOWEST_HU",
    "procedural_head",
    "rotation_matrix",
    "template_head",
]
