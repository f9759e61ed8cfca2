#!/usr/bin/python3
"""Makes the container image of Facet as an OCI layout, without a container
engine: a folder that skopeo, podman, buildah, crane and containerd take.

  deploy/image/build.py --facet bazel-bin/rpc/cli/facet --out facet-image
  deploy/image/build.py --facet bazel-bin/rpc/cli/facet \\
      --model deploy/demo-model --tag 0.1-demo --out facet-demo-image
  deploy/image/build.py --facet bazel-bin/rpc/cli/facet --variant cuda \\
      --nccl /usr/lib/x86_64-linux-gnu --tag 0.1-cuda --out facet-cuda
  deploy/image/build.py --model DIR --only-model --tag gemma-4 --out model-image
  deploy/image/build.py --facet bazel-bin/rpc/cli/facet --root-folder rootfs

Beside the image lies its bill of materials, which it also holds. Time is
SOURCE_DATE_EPOCH, 0 where that is not set, so the same files give the same
image. An image over the size budget is an error.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import oci_layout  # noqa: E402  (they lie beside this file)
import root_file_system as root  # noqa: E402
import sbom  # noqa: E402

SBOM_PATH = "usr/share/facet/sbom.spdx.json"
# Compressed, without a model.
BUDGET_MB = {"cpu": 16, "cuda": 400}
PORTS = (8000, 8001, 8002, 8003, 8004)


def version_of(facet):
    done = subprocess.run([facet, "version"], capture_output=True, check=False)
    if done.returncode != 0:
        raise root.BuildError(
            f"{facet} version: {done.stderr.decode().strip()}")
    words = done.stdout.decode().split()
    return words[1] if len(words) > 1 else "unknown"


def program_layers(options, version, epoch):
    """Libraries, which change seldom, then what changes with every build."""
    libraries = {**root.base_entries(),
                 **root.library_entries(options.facet, options.nccl)}
    packages, strangers = root.packages_of(libraries)
    if strangers and options.variant == "cpu":
        raise root.BuildError(
            f"of no Debian package: {', '.join(strangers)}; the bill of "
            "materials could not name them")
    libraries.update(root.licence_entries(packages))
    program = root.facet_entries(options.facet)
    bill = sbom.bill_of_materials(version, program["usr/bin/facet"].data(),
                                  packages, epoch)
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    program[SBOM_PATH] = root.Entry(text=text)
    return [libraries, program], text


def write_folder(folder, layers):
    """The layers as files, for a Dockerfile to copy."""
    for entries in layers:
        for path, entry in sorted(entries.items()):
            target = os.path.join(folder, path)
            if entry is root.FOLDER:
                os.makedirs(target, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if entry.link:
                os.symlink(entry.link, target)
                continue
            with open(target, "wb") as file:
                file.write(entry.data())
            os.chmod(target, entry.mode)


def annotations_of(options, version, created):
    prefix = "org.opencontainers.image."
    labels = {
        prefix + "title": "facet-model" if options.only_model else "facet",
        prefix + "description": "Distributed inference for Gemma 4",
        prefix + "version": version,
        prefix + "created": created,
        prefix + "base.name": "scratch",
        "dev.facet.variant": options.variant,
    }
    if not options.only_model:
        labels[prefix + "licenses"] = "Apache-2.0"
    if options.revision:
        labels[prefix + "revision"] = options.revision
    return labels


def image_config(options, labels):
    if options.only_model:
        return {"Labels": labels}
    config = {
        "User": f"{root.USER}:{root.USER}",
        "Entrypoint": ["/usr/bin/facet"],
        "Cmd": ["--help"],
        "WorkingDir": "/",
        "Env": ["PATH=/usr/bin"],
        "ExposedPorts": {f"{port}/tcp": {} for port in PORTS},
        "StopSignal": "SIGTERM",
        "Labels": labels,
    }
    if options.variant == "cuda":
        config["Env"] += ["NVIDIA_VISIBLE_DEVICES=all",
                          "NVIDIA_DRIVER_CAPABILITIES=compute,utility"]
    return config


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facet", help="the binary")
    parser.add_argument("--out", help="folder to make, an OCI layout")
    parser.add_argument("--root-folder", help="folder to make, plain files")
    parser.add_argument("--model", help="checkpoint to put at /model")
    parser.add_argument("--only-model", action="store_true",
                        help="nothing but the checkpoint, at /, for a volume")
    parser.add_argument("--variant", choices=sorted(BUDGET_MB), default="cpu")
    parser.add_argument("--nccl", help="folder with libnccl.so.2")
    parser.add_argument("--tag", help="default: the version")
    parser.add_argument("--revision", default="", help="commit, for a label")
    options = parser.parse_args(arguments)
    if not options.only_model and not options.facet:
        parser.error("--facet is required")
    if options.only_model and not options.model:
        parser.error("--only-model needs --model")
    if bool(options.out) == bool(options.root_folder):
        parser.error("one of --out and --root-folder is required")
    return options


def build(options):
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = datetime.datetime.fromtimestamp(
        epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    target = options.out or options.root_folder
    if os.path.exists(target):
        raise root.BuildError(f"{target} is there already")
    layers, bill = [], None
    version = options.tag or "unknown"
    if not options.only_model:
        version = version_of(options.facet)
        layers, bill = program_layers(options, version, epoch)
    if options.model:
        layers.append(root.model_entries(
            options.model, "" if options.only_model else "model"))
    if options.root_folder:
        write_folder(options.root_folder, layers)
        return
    labels = annotations_of(options, version, created)
    tag = options.tag or version
    size = oci_layout.write_image(
        options.out, tag, layers, image_config(options, labels), labels,
        created, epoch)
    manifest, _ = oci_layout.read_image(options.out)
    for name, layer in zip(("libraries", "facet", "model"), manifest["layers"]):
        if not options.only_model:
            print(f"  {name:10} {layer['size'] / 1e6:8.1f} MB")
    print(f"{options.out}:{tag}  {size / 1e6:.1f} MB compressed")
    if bill is not None:
        with open(options.out + ".spdx.json", "w", encoding="utf-8") as file:
            file.write(bill)
        program = sum(layer["size"] for layer in manifest["layers"][:2]) / 1e6
        budget = BUDGET_MB[options.variant]
        if program > budget:
            raise root.BuildError(f"{program:.1f} MB without a model, over the "
                                  f"budget of {budget} MB")


def main():
    try:
        build(parse(sys.argv[1:]))
    except (root.BuildError, OSError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
