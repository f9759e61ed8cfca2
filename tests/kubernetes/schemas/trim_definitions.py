#!/usr/bin/python3
"""Cuts Kubernetes' own schemas down to the kinds that Facet's manifests use.

Reads a `_definitions.json` as the pip package kubernetes-validate carries it for
each release (made from Kubernetes' published OpenAPI description), follows the
references from the kinds below, and drops the prose.

Usage: trim_definitions.py _definitions.json > kubernetes-1.35.json
"""

import json
import sys

API = "io.k8s.api."
KINDS = {
    "apps/v1 Deployment": "apps.v1.Deployment",
    "apps/v1 StatefulSet": "apps.v1.StatefulSet",
    "autoscaling/v2 HorizontalPodAutoscaler":
        "autoscaling.v2.HorizontalPodAutoscaler",
    "networking.k8s.io/v1 NetworkPolicy": "networking.v1.NetworkPolicy",
    "policy/v1 PodDisruptionBudget": "policy.v1.PodDisruptionBudget",
    "v1 ConfigMap": "core.v1.ConfigMap",
    "v1 Namespace": "core.v1.Namespace",
    "v1 PersistentVolumeClaim": "core.v1.PersistentVolumeClaim",
    "v1 PodTemplateSpec": "core.v1.PodTemplateSpec",
    "v1 Secret": "core.v1.Secret",
    "v1 Service": "core.v1.Service",
    "v1 ServiceAccount": "core.v1.ServiceAccount",
}


def is_status(name):
    return name == "status"


def shorten(schema, references):
    """The parts of `schema` that can refuse a manifest."""
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        references.add(name)
        return {"$ref": name}
    out = {}
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = [one for one in kind if one != "null"]
        kind = kind[0] if len(kind) == 1 else kind
    if kind is not None:
        out["type"] = kind
    for key in ("enum", "required", "format"):
        if key in schema:
            out[key] = schema[key]
    for key in ("oneOf", "anyOf"):
        if key in schema:
            out[key] = [shorten(one, references) for one in schema[key]]
    if "items" in schema:
        out["items"] = shorten(schema["items"], references)
    if "properties" in schema:
        out["properties"] = {
            name: shorten(one, references)
            for name, one in sorted(schema["properties"].items())
            if not is_status(name)}
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        out["additionalProperties"] = shorten(extra, references)
    elif "properties" in schema:
        out["additionalProperties"] = False
    return out


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        definitions = json.load(file)["$defs"]
    todo = {API + name for name in KINDS.values()}
    done = {}
    while todo:
        name = todo.pop()
        references = set()
        done[name] = shorten(definitions[name], references)
        todo |= references - set(done)
    json.dump({"kinds": {kind: API + name for kind, name in KINDS.items()},
               "definitions": dict(sorted(done.items()))},
              sys.stdout, indent=0, sort_keys=True, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
