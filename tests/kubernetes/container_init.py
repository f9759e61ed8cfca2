#!/usr/bin/python3
"""Becomes one container: an image's root file system with volumes mounted over
it, in a mount and a process namespace of its own, as the user and with the
privileges that its manifest says. The network is that of whoever calls this.

Usage: container_init.py SPEC.json, which has:
  root        folder with the image's files
  mounts      [{source, target, read_only}]; a file or a folder each
  read_only   whether the root file system is
  uid, gid    to run as
  argv, environment

SIGTERM reaches the container's first process; the end of this process kills it.
Exits as the container does, with 128 + N where signal N killed it.
"""

import ctypes
import json
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
LAST_CAPABILITY = 40
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{arguments}: {os.strerror(error)}")


def mount(source, target, kind, flags, data=None):
    call("mount", source.encode(), target.encode(),
         kind.encode() if kind else None, ctypes.c_ulong(flags),
         data.encode() if data else None)


def bind(source, target, read_only):
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        mount(source, target, None,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def make_mount_point(source, target):
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "wb").close()


def make_file_system(spec):
    root = spec["root"]
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND | MS_REC)
    # Mount points first, while the root may still be written to.
    devices = [{"source": f"/dev/{name}", "target": f"/dev/{name}",
                "read_only": False} for name in DEVICES]
    devices.append({"source": "/sys", "target": "/sys", "read_only": True})
    for one in devices + spec["mounts"]:
        make_mount_point(one["source"], root + one["target"])
    if spec["read_only"]:
        mount(root, root, None,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for one in devices + spec["mounts"]:
        bind(one["source"], root + one["target"], one["read_only"])
    os.chroot(root)
    os.chdir("/")


def drop_privileges(spec):
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if spec["uid"] != os.getuid():
        os.setgroups([])
        os.setgid(spec["gid"])
        os.setuid(spec["uid"])
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Changing the user forgets it.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def become_container(spec):
    make_file_system(spec)
    drop_privileges(spec)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execve(spec["argv"][0], spec["argv"], spec["environment"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    call("unshare", CLONE_NEWNS | CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        try:
            become_container(spec)
        except OSError as error:
            print(f"container_init: {error}", file=sys.stderr)
        os._exit(127)
    signal.signal(signal.SIGTERM,
                  lambda number, frame: os.kill(child, signal.SIGTERM))
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
