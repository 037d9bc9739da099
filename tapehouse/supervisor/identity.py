"""Whom a server that refuses root runs as."""

from __future__ import annotations

import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunAs:
    user: str
    """A name of the password file: PostgreSQL looks its user up there."""
    in_namespace: bool = False
    """In a user namespace in which root's files are this user's: no folder is closed to it, and nothing
    changes its owner. Otherwise the program changes to the user, who must be able to enter its folders."""

    @property
    def uid_gid(self) -> str:
        entry = pwd.getpwnam(self.user)
        return f"{entry.pw_uid}:{entry.pw_gid}"
