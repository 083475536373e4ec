"""A PACS over DICOMweb as the site's archive: its head CT, kept here without what names a patient."""

from client.pacs.sending import send_objects
from client.pacs.settings import Destination, PacsSettings
from client.pacs.store import copy_of
from client.pacs.sync import PacsProgress, synchronise

__all__ = ["Destination", "PacsProgress", "PacsSettings", "copy_of", "send_objects", "synchronise"]
