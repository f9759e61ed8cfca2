"""What the Kubernetes API server would refuse in a manifest.

Schemas are data in schemas/: Kubernetes' own, cut down, and those of the custom
resources. An unknown kind or field is an error.
"""

import json
import os
import re

import yaml

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool,
         "integer": int, "number": (int, float)}
QUANTITY = re.compile(
    r"[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)"
    r"(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?")


class Schemas:
    def __init__(self):
        self.kinds = {}
        self.definitions = {}
        with open(os.path.join(FOLDER, "kubernetes-1.35.json"),
                  encoding="utf-8") as file:
            self._add(json.load(file))
        with open(os.path.join(FOLDER, "custom-resources.yaml"),
                  encoding="utf-8") as file:
            self._add(yaml.safe_load(file))

    def _add(self, schemas):
        self.kinds.update(schemas["kinds"])
        self.definitions.update(schemas["definitions"])

    def errors(self, manifest):
        """A list of "path: what is wrong"; empty when all is well."""
        kind = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
        if kind not in self.kinds:
            return [f"kind: no schema for {kind}"]
        found = []
        self._check(manifest, {"$ref": self.kinds[kind]}, "", found)
        return found

    def _check(self, value, schema, path, found):
        where = path or "/"
        if "$ref" in schema:
            name = schema["$ref"]
            if name.endswith(".Quantity"):
                if not QUANTITY.fullmatch(str(value)):
                    found.append(f"{where}: {value!r} is no quantity")
                return
            if name.endswith(".IntOrString"):
                if not isinstance(value, (int, str)):
                    found.append(f"{where}: expected a number or a string")
                return
            self._check(value, self.definitions[name], path, found)
            return
        kind = schema.get("type")
        if kind is None and "properties" in schema:
            kind = "object"
        if kind is not None:
            wanted = TYPES[kind]
            right = isinstance(value, wanted) and not (
                kind in ("integer", "number") and isinstance(value, bool))
            if not right:
                found.append(f"{where}: expected {kind}, found {value!r}")
                return
        self._check_scalar(value, schema, where, found)
        if isinstance(value, list):
            for i, one in enumerate(value):
                self._check(one, schema.get("items", {}), f"{path}/{i}", found)
        if isinstance(value, dict):
            self._check_fields(value, schema, path, found)

    @staticmethod
    def _check_scalar(value, schema, where, found):
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{where}: {value!r} is none of {schema['enum']}")
        if "minimum" in schema and value < schema["minimum"]:
            found.append(f"{where}: {value} is below {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            found.append(f"{where}: {value} is above {schema['maximum']}")
        if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            found.append(f"{where}: {value!r} is not {schema['pattern']}")

    def _check_fields(self, value, schema, path, found):
        for name in schema.get("required", []):
            if name not in value:
                found.append(f"{path or '/'}: {name} is missing")
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties", not known)
        for name, one in value.items():
            if name in known:
                self._check(one, known[name], f"{path}/{name}", found)
            elif isinstance(extra, dict):
                self._check(one, extra, f"{path}/{name}", found)
            elif extra is False:
                found.append(f"{path}/{name}: unknown field")
