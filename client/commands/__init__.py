"""The commands of ``tomoray-site``, a file each."""
