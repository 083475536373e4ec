"""What headers of CT images say: cleaned of what hostile or careless writers put into them, and held against lists."""

from client.header.contrast_words import names_agents
from client.header.data_set_values import (
    LARGEST_NUMBER,
    LONGEST_TEXT,
    MOST_NUMBERS,
    MOST_WORDS,
    SECONDS_A_DAY,
    integer,
    largest,
    text,
    time_of_day_s,
    whole_number,
)
from client.header.derivation import PROCESSED, is_computed, may_be_recompressed
from client.header.enhanced import FRAME_GROUP_TAGS, MOST_FRAMES, frame_headers, may_be_expanded
from client.header.film_header import FILM_TAGS, Aperture, FilmHeader, film_header
from client.header.film_identity import FilmIdentity
from client.header.header import ENHANCED_CT_STORAGE, HEADER_TAGS, ImageHeader, image_header
from client.header.hounsfield import holds_hu
from client.header.image_object import WITHOUT_SERIES, DamagedHeader, patient_named

__all__ = [
    "ENHANCED_CT_STORAGE",
    "FILM_TAGS",
    "FRAME_GROUP_TAGS",
    "HEADER_TAGS",
    "LARGEST_NUMBER",
    "LONGEST_TEXT",
    "MOST_FRAMES",
    "MOST_NUMBERS",
    "MOST_WORDS",
    "PROCESSED",
    "SECONDS_A_DAY",
    "WITHOUT_SERIES",
    "Aperture",
    "DamagedHeader",
    "FilmHeader",
    "FilmIdentity",
    "ImageHeader",
    "film_header",
    "frame_headers",
    "holds_hu",
    "image_header",
    "integer",
    "is_computed",
    "largest",
    "may_be_expanded",
    "may_be_recompressed",
    "names_agents",
    "patient_named",
    "text",
    "time_of_day_s",
    "whole_number",
]
