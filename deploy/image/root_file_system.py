"""What the image holds: the facet binary, the libraries it loads, who may run
it, certificates and licences; no shell, no package manager.

Everything comes from the Debian 12 that built the binary.
"""

import hashlib
import os
import re
import subprocess

USER = 65532  # "nonroot", as distroless images call it
MULTIARCH = "usr/lib/x86_64-linux-gnu"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"

PASSWD = f"""root:x:0:0:root:/root:/sbin/nologin
nonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin
"""
GROUP = f"""root:x:0:
nonroot:x:{USER}:
"""
HOSTS_FIRST = "passwd: files\ngroup: files\nhosts: files dns\n"
# Loaded by name at run time, where GPUs of several workers talk.
NCCL = "libnccl.so.2"
# Made by the package's own trigger, so no package lists it.
MADE_BY = {"/" + CERTIFICATES: "ca-certificates"}


class Entry:
    """One path of the image: a file, a link or a folder."""

    def __init__(self, source=None, text=None, link=None, mode=0o644):
        self.source = source
        self.text = text
        self.link = link
        self.mode = mode

    def data(self):
        if self.text is not None:
            return self.text.encode()
        with open(self.source, "rb") as file:
            return file.read()


FOLDER = object()


class BuildError(Exception):
    """Why no image can be made, for whoever runs the script."""


def libraries_of(binary):
    """Paths of all shared libraries that `binary` loads, and of its loader."""
    done = subprocess.run(["ldd", binary], capture_output=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{binary}: {done.stderr.decode().strip()}")
    paths = set()
    for line in done.stdout.decode().splitlines():
        if "not found" in line:
            raise BuildError(f"{binary}: {line.strip()}")
        match = re.search(r"(?:=> )?(/\S+) \(0x", line)
        if match:
            paths.add(match[1])
    return sorted(paths)


def _merged_usr(path):
    """/lib/... as /usr/lib/..., which it is in Debian 12."""
    path = path.lstrip("/")
    return path if path.startswith("usr/") else "usr/" + path


def _add_library(entries, path, target):
    """A library under the name it is loaded by; links are followed."""
    entries[target] = Entry(source=os.path.realpath(path), mode=0o755)


def library_entries(binary, nccl_folder=None):
    entries = {}
    for path in libraries_of(binary):
        target = _merged_usr(path)
        if not target.startswith("usr/lib"):
            target = f"{MULTIARCH}/{os.path.basename(path)}"
        _add_library(entries, path, target)
    if nccl_folder:
        _add_library(entries, os.path.join(nccl_folder, NCCL),
                     f"{MULTIARCH}/{NCCL}")
    return entries


def base_entries():
    entries = {
        "lib": Entry(link="usr/lib"),
        "lib64": Entry(link="usr/lib64"),
        "etc/passwd": Entry(text=PASSWD),
        "etc/group": Entry(text=GROUP),
        "etc/nsswitch.conf": Entry(text=HOSTS_FIRST),
        CERTIFICATES: Entry(source="/" + CERTIFICATES),
        "etc/os-release": Entry(source="/usr/lib/os-release"),
    }
    # Where a cluster mounts things on a root file system that is read-only.
    for name in ("dev", "proc", "sys", "tmp", "etc/facet", "etc/facet-access",
                 "model"):
        entries[name] = FOLDER
    return entries


def facet_entries(binary):
    return {"usr/bin/facet": Entry(source=binary, mode=0o755)}


def model_entries(folder, target="model"):
    """The files of a checkpoint, without what only its makers need."""
    entries = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name.endswith(
                (".json", ".safetensors", ".jinja")):
            entries[os.path.join(target, name)] = Entry(source=path)
    if os.path.join(target, "config.json") not in entries:
        raise BuildError(f"{folder}: no config.json, so no model")
    return entries


class Package:
    def __init__(self, name, version, source):
        self.name = name
        self.version = version
        self.source = source


def packages_of(entries):
    """The Debian packages that the entries' files come from, and the files of
    none."""
    sources = {entry.source for entry in entries.values()
               if entry is not FOLDER and entry.source}
    packages = {}
    strangers = []
    for path in sorted(sources):
        owner = _owner(path)
        if owner is None:
            strangers.append(path)
        elif owner not in packages:
            packages[owner] = _describe(owner)
    return [packages[name] for name in sorted(packages)], strangers


def _owner(path):
    if path in MADE_BY:
        return MADE_BY[path]
    for candidate in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", candidate], check=False,
                              capture_output=True)
        if done.returncode == 0:
            return done.stdout.decode().split(":")[0].split(",")[0]
    return None


def _describe(name):
    fields = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}\t${source:Package}\n", name],
        check=True, capture_output=True).stdout.decode().splitlines()[0]
    version, source = fields.split("\t")
    return Package(name, version, source)


def licence_entries(packages):
    entries = {}
    for package in packages:
        path = f"/usr/share/doc/{package.name}/copyright"
        if os.path.isfile(path):
            entries[path.lstrip("/")] = Entry(source=os.path.realpath(path))
    return entries


def sha256(data):
    return hashlib.sha256(data).hexdigest()
