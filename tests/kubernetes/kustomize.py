"""Renders the part of Kustomize that Facet's manifests use, for tests on
machines without kubectl; where there is one, a test holds the two together.

Known: resources, components, configMapGenerator (files, literals, merge, a
hash of the content in the name), patches (JSON patches by
target), images, configurations (name references are found by field name here).
Anything else is refused.
"""

import copy
import hashlib
import json
import os
import re

import yaml

KNOWN = {"apiVersion", "kind", "resources", "components", "configMapGenerator",
         "patches", "images", "configurations"}


class Refused(Exception):
    """The manifests use what this renderer does not know, or are wrong."""


def _load_all(path):
    with open(path, encoding="utf-8") as file:
        return [one for one in yaml.safe_load_all(file) if one]


def _kustomization(folder):
    (content,) = _load_all(os.path.join(folder, "kustomization.yaml"))
    unknown = set(content) - KNOWN
    if unknown:
        raise Refused(f"{folder}: {', '.join(sorted(unknown))}: not known here")
    return content


def _literal(text):
    key, _, value = text.partition("=")
    return key, value.strip("\"'")


def _generate(folder, generators, resources):
    for entry in generators:
        data = {}
        for name in entry.get("files", []):
            key, _, path = name.rpartition("=")
            with open(os.path.join(folder, path), encoding="utf-8") as file:
                data[key or os.path.basename(path)] = file.read()
        data.update(_literal(one) for one in entry.get("literals", []))
        unknown = set(entry) - {"name", "namespace", "files", "literals",
                                "behavior", "options"}
        if unknown:
            raise Refused(f"{folder}: configMapGenerator: {unknown}")
        found = [one for one in resources if one["kind"] == "ConfigMap"
                 and one["metadata"]["name"] == entry["name"]]
        if entry.get("behavior", "create") == "merge":
            if not found:
                raise Refused(
                    f"{folder}: no ConfigMap {entry['name']} to merge")
            found[0]["data"].update(data)
            continue
        if found:
            raise Refused(f"{folder}: two ConfigMaps {entry['name']}")
        options = entry.get("options", {})
        metadata = {"name": entry["name"], "namespace": entry["namespace"]}
        if "labels" in options:
            metadata["labels"] = dict(options["labels"])
        resources.append({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": metadata,
            GENERATED: not options.get("disableNameSuffixHash", False)})


GENERATED = "(generated)"


def _pointer(path):
    return [part.replace("~1", "/").replace("~0", "~")
            for part in path.split("/")[1:]]


def apply_json_patch(document, operations):
    """RFC 6902, of which add, replace and remove."""
    for operation in operations:
        *parents, last = _pointer(operation["path"])
        at = document
        try:
            for part in parents:
                at = at[int(part)] if isinstance(at, list) else at[part]
            kind = operation["op"]
            if isinstance(at, list):
                last = len(at) if last == "-" else int(last)
                if kind == "add":
                    at.insert(last, copy.deepcopy(operation["value"]))
                    continue
            if kind != "add":
                at[last]  # must be there
            if kind == "remove":
                del at[last]
            elif kind in ("add", "replace"):
                at[last] = copy.deepcopy(operation["value"])
            else:
                raise Refused(f"patch operation {kind}: not known here")
        except (KeyError, IndexError, TypeError) as error:
            raise Refused(f"{operation['path']}: nothing there") from error


def _matches(target, resource):
    name = resource["metadata"]["name"]
    return (target.get("kind", resource["kind"]) == resource["kind"] and
            re.fullmatch(target.get("name", name), name) is not None)


def _patch(folder, patches, resources):
    for entry in patches:
        if set(entry) != {"target", "patch"}:
            raise Refused(f"{folder}: patches: only target and patch are known")
        operations = yaml.safe_load(entry["patch"])
        if not isinstance(operations, list):
            raise Refused(f"{folder}: patches: only JSON patches are known")
        for resource in resources:
            if _matches(entry["target"], resource):
                apply_json_patch(resource, operations)


def _walk(value, visit):
    if isinstance(value, dict):
        visit(value)
        for one in value.values():
            _walk(one, visit)
    elif isinstance(value, list):
        for one in value:
            _walk(one, visit)


def _set_images(images, resources):
    def visit(fields):
        for container in fields.get("containers", []):
            for image in images:
                if container["image"].split(":")[0] == image["name"]:
                    name = image.get("newName", image["name"])
                    container["image"] = f"{name}:{image['newTag']}"
    for resource in resources:
        _walk(resource, visit)


def _build(folder, resources):
    """Adds what `folder` says to `resources`."""
    content = _kustomization(folder)
    for name in content.get("resources", []):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            resources.extend(_build(path, []))
        else:
            resources.extend(_load_all(path))
    for name in content.get("components", []):
        _build(os.path.join(folder, name), resources)
    _generate(folder, content.get("configMapGenerator", []), resources)
    _patch(folder, content.get("patches", []), resources)
    _set_images(content.get("images", []), resources)
    return resources


def content_hash(config_map):
    """What Kustomize appends to a generated name."""
    encoded = json.dumps(
        {"data": config_map["data"], "kind": "ConfigMap",
         "name": ""},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for plain, escaped in (("&", "\\u0026"), ("<", "\\u003c"),
                           (">", "\\u003e")):
        encoded = encoded.replace(plain, escaped)
    digest = hashlib.sha256(encoded.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))


def render_with(folder, components):
    """The manifests of the kustomization in `folder` with more components.

    Raises Refused.
    """
    resources = _build(folder, [])
    for component in components:
        _build(component, resources)
    renamed = {}
    for resource in resources:
        if resource.pop(GENERATED, False):
            name = resource["metadata"]["name"]
            renamed[name] = f"{name}-{content_hash(resource)}"
            resource["metadata"]["name"] = renamed[name]

    def refer(fields):
        reference = fields.get("configMap")
        if isinstance(reference, dict) and reference.get("name") in renamed:
            reference["name"] = renamed[reference["name"]]
    for resource in resources:
        _walk(resource, refer)
    return resources


def render(folder):
    """The manifests of the kustomization in `folder`. Raises Refused."""
    return render_with(folder, [])


if __name__ == "__main__":
    import sys
    print(yaml.safe_dump_all(render(sys.argv[1]), sort_keys=False), end="")
