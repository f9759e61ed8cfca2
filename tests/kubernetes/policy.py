"""What every manifest of Facet promises beyond being valid: no root, nothing
writable that need not be, limits, honest probes, time to drain, and selectors
that select."""

import re

from workloads import by_kind, flags_of, seconds, toml, workloads

LEAVE_SECONDS = 16  # what Cluster::Shutdown() may take
COMPONENT = "app.kubernetes.io/component"
READ_ONLY = ("model", "config", "access", "coordinator-certificate",
             "worker-certificate")
UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * UNITS[unit]


def _check_pod(workload, privileged, errors):
    spec = workload.spec
    security = spec.get("securityContext", {})
    if not (security.get("runAsNonRoot") is True and
            security.get("runAsUser")):
        errors.append("may run as root")
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        errors.append("no seccomp profile")
    if spec.get("automountServiceAccountToken") is not False:
        errors.append("mounts a token of the API server")
    if spec.get("serviceAccountName") != "facet":
        errors.append("runs as another service account")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            errors.append(f"shares the node: {field}")
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            errors.append(f"volume {volume['name']}: hostPath")
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            errors.append(f"volume {volume['name']}: no sizeLimit")
    names = {volume["name"] for volume in spec.get("volumes", [])}
    ports = [port["containerPort"] for container in spec["containers"]
             for port in container.get("ports", [])]
    if len(ports) != len(set(ports)):
        errors.append("two containers of a pod take one port")
    for container in spec["containers"]:
        found = []
        _check_container(container, privileged, found)
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in names:
                found.append(f"mounts {mount['name']}, which is no volume")
            if (mount["name"] in READ_ONLY and not mount.get("readOnly")):
                found.append(f"may write to {mount['name']}")
        _check_time_to_leave(spec, container, found)
        errors.extend(f"{container['name']}: {one}" for one in found)


def _check_container(container, privileged, errors):
    for flag in container.get("args", []):
        if flag.startswith("--insecure"):
            errors.append(f"says {flag}")
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        errors.append("may gain privileges")
    if security.get("readOnlyRootFilesystem") is not True:
        errors.append("may write to its root file system")
    capabilities = security.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"]:
        errors.append("keeps capabilities")
    allowed = {"IPC_LOCK"} if privileged else set()
    if set(capabilities.get("add", [])) - allowed:
        errors.append(f"adds capabilities {capabilities['add']}")
    if "privileged" in security:
        errors.append("privileged")
    resources = container.get("resources", {})
    requests = resources.get("requests", {})
    limits = resources.get("limits", {})
    for name in ("cpu", "memory"):
        if name not in requests or name not in limits:
            errors.append(f"no request or limit of {name}")
        elif quantity(requests[name]) > quantity(limits[name]):
            errors.append(f"requests more {name} than its limit")
    tag = container["image"].rpartition(":")[2]
    if tag in ("latest", container["image"]):
        errors.append("the image has no version")

    health = flags_of(container).get("health")
    wanted = ["startupProbe", "livenessProbe"]
    if container["name"] == "coordinator":
        wanted.append("readinessProbe")
    for name in wanted:
        probe = container.get(name, {}).get("grpc", {})
        service = "readiness" if name == "readinessProbe" else "liveness"
        if probe.get("service") != service:
            errors.append(f"{name} does not ask for {service}")
        if health is None or not health.endswith(f":{probe.get('port')}"):
            errors.append(f"{name} asks another port than --health={health}")


def _check_time_to_leave(spec, container, errors):
    grace = flags_of(container).get("grace")
    if grace is None:
        errors.append("no --grace")
        return
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    leave = LEAVE_SECONDS if container["name"] == "coordinator" else 0
    if container["name"] == "coordinator" and not sleep.get("seconds"):
        errors.append("no preStop")
    needs = sleep.get("seconds", 0) + seconds(grace) + leave
    if spec.get("terminationGracePeriodSeconds", 30) < needs:
        errors.append(f"needs {needs} s to leave, has "
                      f"{spec.get('terminationGracePeriodSeconds', 30)} s")


def _selects(selector, labels):
    wanted = selector.get("matchLabels", selector)
    return bool(wanted) and all(labels.get(k) == v for k, v in wanted.items())


def _check_selectors(resources, pods, errors):
    for service in by_kind(resources, "Service"):
        selected = [one for one in pods
                    if _selects(service["spec"]["selector"], one.labels)]
        where = f"Service {service['metadata']['name']}"
        if not selected:
            errors.append(f"{where}: selects no pod")
        for port in service["spec"]["ports"]:
            for pod in selected:
                ports = {value for container in pod.spec["containers"]
                         for one in container.get("ports", [])
                         for value in (one["name"], one["containerPort"])}
                headless = service["spec"].get("clusterIP") == "None"
                if port["targetPort"] not in ports and not headless:
                    errors.append(f"{where}: {pod} has no port "
                                  f"{port['targetPort']}")
    for kind, field in (("NetworkPolicy", "podSelector"),
                        ("PodDisruptionBudget", "selector")):
        found = by_kind(resources, kind)
        if not found:
            errors.append(f"there is no {kind}")
        for one in found:
            errors.extend(
                f"{kind}: leaves out {pod}" for pod in pods
                if not _selects(one["spec"][field], pod.labels))
    for policy in by_kind(resources, "NetworkPolicy"):
        if set(policy["spec"]["policyTypes"]) != {"Ingress", "Egress"}:
            errors.append("NetworkPolicy: guards one direction only")
        for rule in policy["spec"]["ingress"]:
            if not rule.get("from"):
                errors.append("NetworkPolicy: lets everybody in")
    for scaler in by_kind(resources, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        for one in resources:
            if (one["kind"], one["metadata"]["name"]) == (target["kind"],
                                                          target["name"]):
                if "replicas" in one["spec"]:
                    errors.append("applying the manifests again undoes what "
                                  "the autoscaler did")
                break
        else:
            errors.append("the autoscaler scales nothing")


def _config_of(resources, workload, file):
    for volume in workload.spec["volumes"]:
        if "configMap" in volume:
            for one in by_kind(resources, "ConfigMap"):
                if one["metadata"]["name"] == volume["configMap"]["name"]:
                    return toml(one["data"].get(file, ""))
    return None


def _check_worlds(resources, pods, errors):
    """The workers that pods start are those that the coordinator expects."""
    started = 0
    serve = None
    for pod in pods:
        count = pod.group_size - 1 if pod.role == "worker" else 1
        if pod.kind == "StatefulSet":
            count = pod.replicas
        for container in pod.spec["containers"]:
            file = ("serve.toml" if container["name"] == "coordinator"
                    else "worker.toml")
            config = _config_of(resources, pod, file)
            if config is None:
                errors.append(f"{pod}: no ConfigMap of that name")
                return
            if file == "serve.toml":
                serve = dict(config, size=pod.group_size)
            else:
                started += count * int(config.get("workers", 1))
    tp, pp = int(serve.get("tp", 1)), int(serve.get("pp", 1))
    if "workers-per-pod" in serve:
        expected = int(serve["workers-per-pod"]) * serve["size"]
    elif "expect-workers" in serve:
        expected = int(serve["expect-workers"])
    else:
        expected, started = int(serve.get("workers", tp * pp)), None
    if started is not None and started != expected:
        errors.append(f"the coordinator expects {expected} workers, pods start "
                      f"{started}")
    if ("tp" in serve or "pp" in serve) and tp * pp != expected:
        errors.append(f"tp {tp} x pp {pp} is not {expected} workers")


def errors_of(resources):
    """A list of "where: what is wrong"; empty when all promises are kept."""
    errors = []
    namespaces = by_kind(resources, "Namespace")
    level = namespaces[0]["metadata"]["labels"].get(
        "pod-security.kubernetes.io/enforce") if namespaces else None
    if level not in ("restricted", "privileged"):
        errors.append("the namespace enforces no Pod Security")
    pods = workloads(resources)
    if not pods:
        return errors + ["there are no pods"]
    for pod in pods:
        found = []
        _check_pod(pod, level == "privileged", found)
        errors.extend(f"{pod}: {one}" for one in found)
    if level == "privileged" and not any(
            "IPC_LOCK" in container["securityContext"]["capabilities"].get(
                "add", []) for pod in pods
            for container in pod.spec["containers"]):
        errors.append("the namespace allows what no pod needs")
    for one in resources:
        if one["kind"] != "Namespace" and one["metadata"].get(
                "namespace") != "facet":
            errors.append(f"{one['kind']} {one['metadata']['name']}: in no or "
                          "another namespace")
    _check_selectors(resources, pods, errors)
    _check_worlds(resources, pods, errors)
    return errors
