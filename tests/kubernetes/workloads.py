"""The pods that manifests ask for."""

import re


class Workload:
    """One pod template of a manifest, with what it stands in."""

    def __init__(self, resource, role, template, replicas, group_size=None):
        self.resource = resource
        self.role = role  # "leader", "worker", or "" where there is one only
        self.template = template
        self.replicas = replicas
        self.group_size = group_size
        self.kind = resource["kind"]
        self.name = resource["metadata"]["name"]

    @property
    def spec(self):
        return self.template["spec"]

    @property
    def labels(self):
        return self.template["metadata"]["labels"]

    def __str__(self):
        return f"{self.kind} {self.name}" + (f" {self.role}" * bool(self.role))


def workloads(resources):
    found = []
    for one in resources:
        spec = one.get("spec", {})
        if one["kind"] in ("Deployment", "StatefulSet"):
            found.append(Workload(one, "", spec["template"],
                                  spec.get("replicas", 1)))
        elif one["kind"] == "LeaderWorkerSet":
            template = spec["leaderWorkerTemplate"]
            size = template.get("size", 1)
            for role in ("leader", "worker"):
                found.append(Workload(one, role, template[f"{role}Template"],
                                      spec.get("replicas", 1), size))
    return found


def by_kind(resources, kind):
    return [one for one in resources if one["kind"] == kind]


def flags_of(container):
    """--flag=value of its arguments."""
    flags = {}
    for argument in container.get("args", []):
        match = re.fullmatch(r"--([a-z-]+)(?:=(.*))?", argument)
        if match:
            flags[match[1]] = match[2]
    return flags


def toml(text):
    """The flat files of flags that manifests carry: key = value."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([a-z-]+) = (?:"([^"]*)"|([0-9]+|true|false))',
                             line)
        if not match:
            raise ValueError(f"line {number}: {line!r} is no flag")
        values[match[1]] = match[2] if match[2] is not None else match[3]
    return values


def seconds(text):
    units = {"s": 1, "m": 60, "h": 3600}
    return int(text[:-1]) * units[text[-1]]
