"""Run as a script, it becomes the program it is told to: `launcher.py PARENT_PID SIGNAL USER ARGV...`.

USER is `-` for no change, `user:UID:GID` for that user, `namespace:UID:GID` for a user namespace in which
the files of whom it runs as are that user's. Then it asks the kernel to signal the program when its parent
dies (Linux), and execs. In a process of its own rather than in `preexec_fn`, which may deadlock where threads
run. The order matters: a change of user clears the parent-death signal. Nothing may be imported after it
either: the new user may be unable to read this Python. It costs about 15 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000


def main() -> None:
    parent, orphan_signal, user, *argv = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    how, _, ids = user.partition(":")
    if how == "user":
        uid, gid = map(int, ids.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    elif how == "namespace":
        _enter_namespace(libc, *map(int, ids.split(":")))
    if sys.platform == "linux":
        _die_with_parent(libc, int(parent), int(orphan_signal))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        print(f"cannot run {argv[0]}: {error}", file=sys.stderr)
        raise SystemExit(127) from None


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    own_uid, own_gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("uid_map", f"{uid} {own_uid} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{gid} {own_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _die_with_parent(libc: ctypes.CDLL, parent: int, orphan_signal: int) -> None:
    if libc.prctl(_PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked
        raise SystemExit(0)


if __name__ == "__main__":
    main()
