"""Writes and unpacks OCI images as folders (image-layout 1.0.0), with nothing
but the standard library: no daemon, no root. The same input gives the same
bytes."""

import gzip
import io
import json
import os
import tarfile

from root_file_system import FOLDER, sha256

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _folders_of(paths):
    folders = set()
    for path in paths:
        while "/" in path:
            path = path.rpartition("/")[0]
            folders.add(path)
    return folders


def tar_of(entries, epoch):
    """A tar of `entries`, sorted, owned by root, all of one time."""
    out = io.BytesIO()
    links = {path for path, entry in entries.items()
             if entry is not FOLDER and entry.link}
    folders = (_folders_of(entries) |
               {path for path, entry in entries.items() if entry is FOLDER})
    with tarfile.open(fileobj=out, mode="w",
                      format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(set(entries) | folders):
            info = tarfile.TarInfo(path)
            info.mtime = epoch
            entry = entries.get(path)
            if path in folders and path not in links:
                info.type = tarfile.DIRTYPE
                info.mode = 0o1777 if path == "tmp" else 0o755
                tar.addfile(info)
            elif entry.link:
                info.type = tarfile.SYMTYPE
                info.linkname = entry.link
                tar.addfile(info)
            else:
                data = entry.data()
                info.size = len(data)
                info.mode = entry.mode
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _write_blob(folder, data):
    digest = sha256(data)
    with open(os.path.join(folder, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def write_image(folder, tag, layers, config, annotations, created, epoch):
    """`layers` are dicts of entries, lowest first; `config` is the "config" of
    an OCI image. Returns the bytes of the image as it travels."""
    os.makedirs(os.path.join(folder, "blobs", "sha256"))
    descriptors, unpacked = [], []
    for entries in layers:
        tar = tar_of(entries, epoch)
        unpacked.append("sha256:" + sha256(tar))
        packed = gzip.compress(tar, compresslevel=6, mtime=0)
        descriptors.append({"mediaType": LAYER, **_write_blob(folder, packed)})
    image = {
        "architecture": "amd64", "os": "linux", "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": unpacked},
        "history": [{"created": created, "created_by": "deploy/image/build.py"}
                    for _ in layers],
    }
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST, "annotations": annotations,
        "config": {"mediaType": CONFIG, **_write_blob(folder, _json(image))},
        "layers": descriptors,
    }
    described = {"mediaType": MANIFEST, **_write_blob(folder, _json(manifest)),
                 "platform": {"architecture": "amd64", "os": "linux"},
                 "annotations": {"org.opencontainers.image.ref.name": tag}}
    with open(os.path.join(folder, "index.json"), "wb") as file:
        file.write(_json({"schemaVersion": 2, "manifests": [described]}))
    with open(os.path.join(folder, "oci-layout"), "wb") as file:
        file.write(_json({"imageLayoutVersion": "1.0.0"}))
    return sum(one["size"] for one in descriptors)


def read_blob(folder, descriptor):
    """The bytes that `descriptor` names, checked."""
    algorithm, digest = descriptor["digest"].split(":")
    with open(os.path.join(folder, "blobs", algorithm, digest), "rb") as file:
        data = file.read()
    if sha256(data) != digest or len(data) != descriptor["size"]:
        raise ValueError(f"{folder}: blob {digest} is damaged")
    return data


def read_image(folder):
    """(manifest, image) of the only image in `folder`."""
    with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
        (described,) = json.load(file)["manifests"]
    manifest = json.loads(read_blob(folder, described))
    return manifest, json.loads(read_blob(folder, manifest["config"]))


def unpack(folder, target):
    """The root file system of the image in `folder`, under `target`."""
    manifest, image = read_image(folder)
    for layer, wanted in zip(manifest["layers"], image["rootfs"]["diff_ids"]):
        tar = gzip.decompress(read_blob(folder, layer))
        if "sha256:" + sha256(tar) != wanted:
            raise ValueError(f"{folder}: a layer is not what the image says")
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                parts = member.name.split("/")
                if parts[0] == "" or ".." in parts:
                    raise ValueError(
                        f"{folder}: {member.name} leaves the image")
                archive.extract(member, target, set_attrs=not member.issym())
