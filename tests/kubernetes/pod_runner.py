#!/usr/bin/python3
"""Runs rendered manifests without a cluster: each pod in network, host name and
IPC namespaces of its own on a bridge, each container in its image's root file
system, with the manifest's arguments, environment, volumes, user and
privileges; probed, restarted and stopped as a kubelet does it, named as a DNS
server would.

What it is not: a scheduler, an API server or kube-proxy. NetworkPolicy and
resource limits are not enforced. Restarts come after half a second, not after
the growing waits of a kubelet.

By hand, as root: pod_runner.py OVERLAY IMAGE_ROOT serves until Ctrl-C.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from health_client import is_serving  # noqa: E402  (it lies beside this file)
from workloads import by_kind, workloads  # noqa: E402

NAMESPACE = "facet"
NETWORK = "10.77.0."
RESTART_AFTER = 0.5
INSIDE = "FACET_TEST_NODE"


def why_not():
    """Why this machine cannot run pods, or None."""
    for tool in ("ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork",
         "--mount-proc", "ip", "link", "add", "br0", "type", "bridge"],
        capture_output=True, check=False)
    if tried.returncode != 0:
        return ("namespaces are not allowed here: "
                + tried.stderr.decode().strip())
    return None


def enter_node():
    """Goes on in a node of its own: a network with the pods' bridge alone,
    whose processes all end with it."""
    if os.environ.get(INSIDE):
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "br0", "type", "bridge")
        _run("ip", "addr", "add", NETWORK + "1/24", "dev", "br0")
        _run("ip", "link", "set", "br0", "up")
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork",
                          "--kill-child", "--mount-proc", sys.executable,
                          *sys.argv])


def _run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")


class Container:
    """One container, kept running until it is stopped."""

    def __init__(self, pod, manifest, spec_path, log_path):
        self.pod = pod
        self.name = manifest["name"]
        self.manifest = manifest
        self.spec_path = spec_path
        self.log_path = log_path
        self.process = None
        self.starts = 0
        self.started = False  # its startup probe has succeeded
        self.ready = False
        self.exits = []  # codes
        self.killed = False  # it did not leave in time
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._keep_running, daemon=True)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _keep_running(self):
        while not self.stopping.is_set():
            self._run_once()
            self.stopping.wait(RESTART_AFTER)

    def _run_once(self):
        self.started = self.ready = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", "-t", str(self.pod.holder.pid), "--net", "--uts",
                 "--ipc", sys.executable,
                 os.path.join(HERE, "container_init.py"), self.spec_path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.starts += 1
        self._probe_while_running()
        self.exits.append(self.process.returncode)
        self.ready = False

    def _probe_while_running(self):
        due = {name: 0.0 for name in ("startupProbe", "livenessProbe",
                                      "readinessProbe")
               if name in self.manifest}
        failures = dict.fromkeys(due, 0)
        if "startupProbe" not in due:
            self.started = True
        if "readinessProbe" not in due:
            self.ready = True
        while self.process.poll() is None:
            now = time.monotonic()
            for name in due:
                if (name == "startupProbe") == self.started or now < due[name]:
                    continue
                probe = self.manifest[name]
                due[name] = now + probe.get("periodSeconds", 10)
                well = is_serving(self.pod.ip, probe["grpc"]["port"],
                                  probe["grpc"].get("service", ""),
                                  probe.get("timeoutSeconds", 1))
                failures[name] = 0 if well else failures[name] + 1
                if name == "readinessProbe":
                    if well:
                        self.ready = True
                    elif failures[name] >= probe.get("failureThreshold", 3):
                        self.ready = False
                elif well:
                    self.started = True
                elif (failures[name] >= probe.get("failureThreshold", 3) and
                      not self.stopping.is_set()):
                    self.process.kill()
            time.sleep(0.05)

    def stop(self, grace):
        """As a kubelet: preStop, SIGTERM, and SIGKILL `grace` s after the call.
        Takes until the container has ended."""
        end = time.monotonic() + grace
        self.stopping.set()
        sleep = self.manifest.get("lifecycle", {}).get("preStop", {}).get(
            "sleep", {})
        time.sleep(min(sleep.get("seconds", 0), grace))
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self.killed = True
            self.process.kill()
        self.thread.join()


class Pod:
    """A pod that runs. `hosts` names other pods."""

    def __init__(self, cluster, name, workload, environment, ip):
        self.cluster = cluster
        self.name = name
        self.workload = workload
        self.ip = NETWORK + str(ip)
        self.folder = os.path.join(cluster.folder, f"{name}-{ip}")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self._make_network(ip)
        self._volumes = {volume["name"]: self._make_volume(volume)
                         for volume in workload.spec.get("volumes", [])}
        self.containers = [self._make_container(manifest, environment)
                           for manifest in workload.spec["containers"]]

    def _make_network(self, ip):
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "--ipc", "sh", "-c",
             f"hostname {self.name}; ip link set lo up; echo up; "
             "exec sleep inf"],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.holder.stdout.readline()
        pid = str(self.holder.pid)
        self.link = f"veth{ip}"
        _run("ip", "link", "add", self.link, "type", "veth", "peer", "name",
             "eth0", "netns", pid)
        _run("ip", "link", "set", self.link, "master", "br0", "up")
        inside = ("nsenter", "-t", pid, "--net", "ip")
        _run(*inside, "addr", "add", self.ip + "/24", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")

    def _make_volume(self, volume):
        path = os.path.join(self.folder, "volumes", volume["name"])
        os.makedirs(path)
        if "emptyDir" in volume:
            if volume["emptyDir"].get("medium") == "Memory":
                _run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path)
            os.chmod(path, 0o1777)
        elif "configMap" in volume:
            self._write_files(path, self.cluster.config_map(
                volume["configMap"]["name"]))
        elif "secret" in volume:
            self._write_files(path, self.cluster.secret(
                volume["secret"]["secretName"]))
        else:
            raise RuntimeError(f"volume {volume['name']}: no such kind here")
        return path

    @staticmethod
    def _write_files(folder, files):
        """Each at once: nobody reads half of one."""
        for name, text in files.items():
            path = os.path.join(folder, name)
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(path + ".new", path)

    def change_secret(self, volume, files):
        """What a kubelet does some time after a Secret has changed."""
        self._write_files(self._volumes[volume], files)

    def _value(self, entry):
        if "value" in entry:
            return entry["value"]
        source = entry["valueFrom"]
        if "secretKeyRef" in source:
            reference = source["secretKeyRef"]
            return self.cluster.secret(reference["name"])[reference["key"]]
        if source.get("fieldRef", {}).get("fieldPath") == "status.podIP":
            return self.ip
        raise RuntimeError(f"environment {entry['name']}: no such source here")

    def _make_container(self, manifest, environment):
        variables = dict(environment)
        for entry in manifest.get("env", []):
            variables[entry["name"]] = self._value(entry)

        def expand(text):
            return re.sub(r"\$\(([A-Za-z0-9_]+)\)",
                          lambda match: variables.get(match[1], match[0]), text)
        image = self.cluster.images[manifest["image"]]
        security = {**self.workload.spec.get("securityContext", {}),
                    **manifest.get("securityContext", {})}
        mounts = [{"source": self._volumes[one["name"]],
                   "target": one["mountPath"],
                   "read_only": one.get("readOnly", False)}
                  for one in manifest.get("volumeMounts", [])]
        mounts.append({"source": self.cluster.hosts_path,
                       "target": "/etc/hosts", "read_only": True})
        spec = {
            "root": image.root, "mounts": mounts,
            "read_only": security.get("readOnlyRootFilesystem", False),
            "uid": self.cluster.user(security["runAsUser"]),
            "gid": security["runAsGroup"],
            "argv": image.entry_point + [expand(one)
                                         for one in manifest.get("args", [])],
            "environment": {"PATH": "/usr/bin", "HOSTNAME": self.name,
                            **variables},
        }
        path = os.path.join(self.folder, manifest["name"])
        with open(path + ".json", "w", encoding="utf-8") as file:
            json.dump(spec, file)
        return Container(self, manifest, path + ".json", path + ".log")

    def start(self):
        for container in self.containers:
            container.thread.start()

    def container(self, name):
        return next(one for one in self.containers if one.name == name)

    @property
    def ready(self):
        return all(one.started and one.ready for one in self.containers)

    @property
    def stopping(self):
        return any(one.stopping.is_set() for one in self.containers)

    def stop(self):
        """Deletes it, with the time to leave that its manifest gives."""
        grace = self.workload.spec.get("terminationGracePeriodSeconds", 30)
        threads = [threading.Thread(target=one.stop, args=(grace,))
                   for one in self.containers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._remove()

    def kill(self):
        """As if its node had vanished."""
        for one in self.containers:
            one.stopping.set()
            if one.process is not None:
                one.process.kill()
        for one in self.containers:
            one.thread.join()
        self._remove()

    def _remove(self):
        subprocess.run(["ip", "link", "del", self.link], capture_output=True,
                       check=False)  # it may have gone with the pod
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def logs(self):
        return "".join(f"--- {self.name} {one.name}\n{one.log()}"
                       for one in self.containers)


class Image:
    def __init__(self, root, entry_point):
        self.root = root
        self.entry_point = entry_point


class Cluster:
    """The pods of `resources`. `images` maps references to Image, `secrets`
    names to the files or values of each."""

    addresses = itertools.count(2)  # of all clusters: no address comes twice

    def __init__(self, resources, images, secrets):
        self.resources = resources
        self.images = images
        self._secrets = secrets
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        os.chmod(self.folder, 0o755)
        self.hosts_path = os.path.join(self.folder, "hosts")
        self._write_hosts({})
        self.pods = {}

    def config_map(self, name):
        return next(one["data"] for one in by_kind(self.resources, "ConfigMap")
                    if one["metadata"]["name"] == name)

    def secret(self, name):
        return self._secrets[name]

    @staticmethod
    def user(wanted):
        """`wanted`, or this process's own where no other can be had."""
        with open("/proc/self/uid_map", encoding="utf-8") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
        for first, _, count in ranges:
            if first <= wanted < first + count:
                return wanted
        return os.getuid()

    def planned(self):
        """Name to (workload, environment) of every pod that there should be."""
        found = {}
        for workload in workloads(self.resources):
            for i in range(workload.replicas):
                name = f"{workload.name}-{i}"
                if workload.kind != "LeaderWorkerSet":
                    found[name] = (workload, {})
                    continue
                indices = ([0] if workload.role == "leader"
                           else range(1, workload.group_size))
                for index in indices:
                    found[name if index == 0 else f"{name}-{index}"] = (
                        workload,
                        {"LWS_LEADER_ADDRESS":
                             f"{name}.{workload.name}.{NAMESPACE}",
                         "LWS_GROUP_SIZE": str(workload.group_size),
                         "LWS_WORKER_INDEX": str(index)})
        return found

    def start_pod(self, name):
        workload, environment = self.planned()[name]
        pod = Pod(self, name, workload, environment, next(Cluster.addresses))
        self.pods[name] = pod
        self._name_pods()
        pod.start()
        return pod

    def start(self):
        for name in self.planned():
            self.start_pod(name)

    def _subdomain(self, workload):
        if workload.kind == "LeaderWorkerSet":
            return workload.name
        return workload.resource["spec"].get("serviceName")

    def _name_pods(self):
        names = {}
        for pod in self.pods.values():
            subdomain = self._subdomain(pod.workload)
            found = [pod.name]
            if subdomain:
                short = f"{pod.name}.{subdomain}"
                found += [short, f"{short}.{NAMESPACE}",
                          f"{short}.{NAMESPACE}.svc.cluster.local"]
            names[pod.ip] = found
        self._write_hosts(names)

    def _write_hosts(self, names):
        lines = ["127.0.0.1 localhost\n"]
        lines += [f"{ip} {' '.join(found)}\n" for ip, found in names.items()]
        # In place: containers have this very file mounted.
        with open(self.hosts_path, "w", encoding="utf-8") as file:
            file.write("".join(lines))

    def endpoints(self, service_name, port_name):
        """HOST:PORT of the ready pods behind a Service."""
        service = next(one for one in by_kind(self.resources, "Service")
                       if one["metadata"]["name"] == service_name)
        port = next(one for one in service["spec"]["ports"]
                    if one["name"] == port_name)
        wanted = service["spec"]["selector"].items()
        found = []
        for pod in list(self.pods.values()):
            if not (wanted <= pod.workload.labels.items() and pod.ready and
                    not pod.stopping):
                continue
            for container in pod.containers:
                for one in container.manifest.get("ports", []):
                    if one["name"] == port["targetPort"]:
                        found.append(f"{pod.ip}:{one['containerPort']}")
        return found

    def name_pods_here(self):
        """For clients in this process's mount namespace, which is the node's."""
        _run("mount", "--bind", self.hosts_path, "/etc/hosts")

    def wait(self, what, question, seconds):
        """Until `question()` is true. Raises with all logs when it never is."""
        end = time.monotonic() + seconds
        while not question():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds} s\n"
                                   + self.logs())
            time.sleep(0.1)

    def wait_until_ready(self, seconds=400):
        self.wait("all pods ready",
                  lambda: all(pod.ready for pod in self.pods.values()), seconds)

    def stop_pods(self, names):
        threads = [threading.Thread(target=self.pods[name].stop)
                   for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def logs(self):
        return "".join(pod.logs() for pod in self.pods.values())

    def close(self):
        for pod in self.pods.values():
            if pod.holder.poll() is None:
                pod.kill()
        # Volumes in memory are mounts of this process's namespace, which goes.
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = file.read().splitlines()
        for line in reversed(mounts):
            target = line.split()[1]
            if target.startswith(self.folder):
                subprocess.run(["umount", target], check=False)
        self._folder.cleanup()


def main():
    import kustomize
    from cluster_secrets import cluster_secrets
    reason = why_not() if not os.environ.get(INSIDE) else None
    if reason:
        sys.exit(f"pod_runner: {reason}")
    enter_node()
    resources = kustomize.render(sys.argv[1])
    image = Image(os.path.abspath(sys.argv[2]), ["/usr/bin/facet"])
    images = {container["image"]: image for workload in workloads(resources)
              for container in workload.spec["containers"]}
    cluster = Cluster(resources, images, cluster_secrets())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        cluster.start()
        cluster.wait_until_ready()
        print("ready:", cluster.endpoints("facet-api", "grpc"), flush=True)
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        cluster.stop_pods(list(cluster.pods))
    finally:
        print(cluster.logs())
        cluster.close()


if __name__ == "__main__":
    main()
