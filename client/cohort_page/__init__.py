"""The site's own page of its cohort: what was found, what was refused and why, and every accepted case to look at."""

from client.cohort_page.page import film_lines, write_cohort_page

__all__ = ["film_lines", "write_cohort_page"]
