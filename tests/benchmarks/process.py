"""What Linux says of a process, its files and the machine."""

import os
import resource
import time


def memory():
    """Megabytes of this process: the most that was resident ("peak") and what
    no file backs ("anonymous")."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    anonymous = 0
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                anonymous = int(line.split()[1]) * 1024
    return {"peak": peak / 1e6, "anonymous": anonymous / 1e6}


def available_memory():
    """Bytes that can be had without another process losing any."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def drop_from_page_cache(path):
    """Asks for the file's pages to be forgotten; needs no rights."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def read_through(path):
    """Leaves the file in the page cache, if that has room."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def cpu_pressure_seconds():
    """Seconds since the machine started in which a thread that could run waited
    for a CPU; None where the kernel does not say."""
    try:
        with open("/proc/pressure/cpu", encoding="ascii") as file:
            return int(file.readline().rsplit("total=", 1)[1]) / 1e6
    except (OSError, IndexError, ValueError):
        return None


def wait_for_quiet(pressure, patience, pause=5):
    """Waits until threads waited for a CPU at most `pressure` of the last
    `pause` seconds, for at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before, start = cpu_pressure_seconds(), time.monotonic()
        if before is None:
            return
        time.sleep(pause)
        waited = cpu_pressure_seconds() - before
        if waited <= pressure * (time.monotonic() - start):
            return
