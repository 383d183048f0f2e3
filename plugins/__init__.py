"""Names that a user can type, and files of a user's own: what the registries of all packages share."""

from plugins.names import UnknownName, hint, nearest, of_folder
from plugins.user_file import UserFile, UserFileError, UserFunction, load_user_file

__all__ = ["UnknownName", "UserFile", "UserFileError", "UserFunction", "hint", "load_user_file", "nearest", "of_folder"]
