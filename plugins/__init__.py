"""Names that a user can type, and files of a user's own: what the registries of all packages share."""

from plugins.names import UnknownName, hint, nearest, of_folder

__all__ = ["UnknownName", "hint", "nearest", "of_folder"]
