#!/usr/bin/python3
"""The very manifests at work: pods of rendered overlays come up, serve, are
replaced, drained and rolled. Needs root or user namespaces, and says so where
it has neither.

Usage: pods_test.py FACET [NAME OF TEST...]
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, HERE)

import kustomize  # noqa: E402  (they lie beside this file)
import pod_runner  # noqa: E402
from cluster_secrets import cluster_secrets  # noqa: E402
from health_client import is_serving  # noqa: E402
from workloads import by_kind, workloads  # noqa: E402

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.join(ROOT, "deploy", "demo-model")
OVERLAYS = os.path.join(ROOT, "deploy", "kubernetes", "overlays")
COMPONENTS = os.path.join(ROOT, "deploy", "kubernetes", "components")
BUILD_IMAGE = os.path.join(ROOT, "deploy", "image", "build.py")
TIMEOUT = 400
# What a client hears of a server that takes no more, or is gone.
REFUSED = "shutting down|no server answers"
FIRST_KEY = "sk-the-first-of-two-keys"
SECOND_KEY = "sk-the-second-of-two-keys"
QUESTION = ["--prompt=The weather in Lisbon is", "--max-tokens=24",
            "--temperature=0", "--json"]
LONG_QUESTION = ["--prompt=Facet", "--max-tokens=4000", "--ignore-eos",
                 "--temperature=0.7", "--seed=5", "--json"]


def ask(address, *flags):
    return subprocess.run(
        [FACET, "generate", f"--server={address}", *(flags or QUESTION)],
        capture_output=True, check=False, timeout=TIMEOUT)


def open_and_read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def tokens(done):
    return json.loads(done.stdout)["outputs"][0]["tokens"]


class Pods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        os.chmod(cls.folder.name, 0o755)
        root = os.path.join(cls.folder.name, "image")
        subprocess.run([sys.executable, BUILD_IMAGE, "--facet", FACET,
                        "--model", MODEL, "--root-folder", root], check=True)
        cls.image = pod_runner.Image(root, ["/usr/bin/facet"])
        cls.expected = cls.alone(QUESTION)
        cls.secrets = cluster_secrets()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @staticmethod
    def alone(flags):
        """What one process answers."""
        return tokens(subprocess.run(
            [FACET, "generate", "--model", MODEL, *flags], capture_output=True,
            check=True, timeout=TIMEOUT))

    def cluster(self, overlay, change=None, components=(), secrets=None):
        resources = kustomize.render_with(
            os.path.join(OVERLAYS, overlay),
            [os.path.join(COMPONENTS, name) for name in components])
        if change is not None:
            change(resources)
        images = {container["image"]: self.image
                  for workload in workloads(resources)
                  for container in workload.spec["containers"]}
        cluster = pod_runner.Cluster(
            resources, images, {**self.secrets, **(secrets or {})})
        self.addCleanup(cluster.close)
        return cluster

    @staticmethod
    def address(cluster, port):
        """Where the service is; waits where a busy machine made probes late."""
        cluster.wait("an endpoint", lambda: cluster.endpoints("facet-api", port),
                     TIMEOUT)
        for address in cluster.endpoints("facet-api", port):
            return address
        return Pods.address(cluster, port)

    def serves(self, cluster):
        address = self.address(cluster, "grpc")
        done = ask(address)
        self.assertEqual(done.returncode, 0, done.stderr.decode() +
                         cluster.logs())
        self.assertEqual(tokens(done), self.expected)
        http = self.address(cluster, "http")
        models = json.loads(self.get(f"http://{http}/v1/models"))
        self.assertEqual(models["data"][0]["id"], "facet-demo")

    @staticmethod
    def get(url):
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
            return reply.read().decode()

    def left_in_order(self, cluster):
        for pod in cluster.pods.values():
            for container in pod.containers:
                where = f"{pod.name} {container.name}\n{pod.logs()}"
                self.assertFalse(container.killed, where)
                self.assertEqual(container.exits[-1], 0, where)

    def test_a_group_is_alive_before_its_workers_and_ready_with_them(self):
        cluster = self.cluster("cpu-lws")
        leader = cluster.start_pod("facet-0")
        coordinator = leader.container("coordinator")
        cluster.wait("the leader lives", lambda: coordinator.started, TIMEOUT)
        self.assertTrue(is_serving(leader.ip, 8003, "liveness", 10))
        self.assertFalse(is_serving(leader.ip, 8003, "readiness", 10))
        self.assertEqual(cluster.endpoints("facet-api", "grpc"), [])

        worker = cluster.start_pod("facet-0-1")
        cluster.wait_until_ready()
        self.serves(cluster)
        self.assertEqual([one.starts for one in leader.containers], [1, 1])

        # The container is what its manifest says.
        pid = subprocess.check_output(
            ["pgrep", "-f", "-o", "/usr/bin/facet worker"]).decode().strip()
        with open(f"/proc/{pid}/mounts", encoding="utf-8") as file:
            mounts = {line.split()[1]: line.split()[3].split(",")
                      for line in file}
        self.assertIn("ro", mounts["/"])
        self.assertIn("ro", mounts["/etc/facet"])
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1)
                          for line in file)
        self.assertEqual(status["CapEff"], "0000000000000000")
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Uid"].split()[0],
                         str(cluster.user(65532)))

        # A worker vanishes with its node in the middle of an answer: not ready,
        # then another takes its place at another address, and the answer is
        # what it would have been.
        address = self.address(cluster, "grpc")
        answers = []
        client = threading.Thread(
            target=lambda: answers.append(ask(address, *LONG_QUESTION)))
        client.start()
        cluster.wait("it answers", lambda: self.running(address) > 0, TIMEOUT)
        worker.kill()
        cluster.wait("the leader notices",
                     lambda: not is_serving(leader.ip, 8003, "readiness", 10),
                     TIMEOUT)
        self.assertEqual(answers, [])
        again = cluster.start_pod("facet-0-1")
        self.assertNotEqual(again.ip, worker.ip)
        client.join()
        self.assertEqual(answers[0].returncode, 0,
                         answers[0].stderr.decode() + cluster.logs())
        self.assertEqual(tokens(answers[0]), self.alone(LONG_QUESTION))
        cluster.wait_until_ready()
        self.serves(cluster)

        # Deleted while it answers, again and again: every answer that was begun
        # ends as it should, until requests are refused.
        address = self.address(cluster, "grpc")
        answers = []

        def keep_asking():
            while True:
                done = ask(address, "--prompt=Facet", "--max-tokens=400",
                           "--ignore-eos", "--temperature=0", "--json")
                answers.append(done)
                if done.returncode != 0:
                    return
        clients = [threading.Thread(target=keep_asking) for _ in range(2)]
        for client in clients:
            client.start()
        cluster.wait("it answers", lambda: self.running(address) > 0, TIMEOUT)
        cluster.stop_pods(list(cluster.pods))
        for client in clients:
            client.join()
        complete = [one for one in answers if one.returncode == 0]
        self.assertGreater(len(complete), 0)
        for answer in complete:
            self.assertEqual(len(tokens(answer)), 400)
        for answer in answers:
            if answer.returncode != 0:
                self.assertRegex(answer.stderr.decode(),
                                 REFUSED, cluster.logs())
        self.left_in_order(cluster)

    @staticmethod
    def serving(cluster):
        """Who takes requests; asks patiently where a busy machine made the
        probes of all run late."""
        return cluster.endpoints("facet-api", "grpc") or [
            f"{pod.ip}:8001" for pod in list(cluster.pods.values())
            if pod.workload.role == "leader" and not pod.stopping and
            is_serving(pod.ip, 8003, "readiness", 120)]

    def running(self, address):
        """Requests that run, by the metrics of the same pod."""
        host = address.rpartition(":")[0]
        for line in self.get(f"http://{host}:8000/metrics").splitlines():
            if line.startswith("facet:num_requests_running{"):
                return float(line.split()[-1])
        raise AssertionError("no such metric")

    def test_a_roll_goes_group_by_group_and_always_serves(self):
        def two_groups(resources):
            by_kind(resources, "LeaderWorkerSet")[0]["spec"]["replicas"] = 2
        cluster = self.cluster("cpu-lws", two_groups)
        cluster.start()
        cluster.wait_until_ready()
        cluster.wait("both groups serve", lambda: len(
            cluster.endpoints("facet-api", "grpc")) == 2, TIMEOUT)
        rolled = threading.Event()
        failures = []
        asked = [0]

        def keep_asking():
            while not rolled.is_set():
                addresses = self.serving(cluster)
                if not addresses:
                    failures.append("nobody serves")
                    return
                done = ask(addresses[asked[0] % len(addresses)])
                asked[0] += 1
                if done.returncode != 0 or tokens(done) != self.expected:
                    failures.append(done.stderr.decode())
        client = threading.Thread(target=keep_asking)
        client.start()
        for group in ("facet-1", "facet-0"):
            names = [group, f"{group}-1"]
            old = [cluster.pods[name] for name in names]
            cluster.stop_pods(names)
            for pod in old:
                for container in pod.containers:
                    self.assertEqual(
                        (container.killed, container.exits[-1]), (False, 0),
                        pod.logs())
            for name in names:
                cluster.start_pod(name)
            cluster.wait_until_ready()
        rolled.set()
        client.join()
        self.assertEqual(failures, [])
        self.assertGreater(asked[0], 0)

    def test_stateful_sets_serve_and_outlive_their_coordinator(self):
        cluster = self.cluster("cpu-statefulset")
        cluster.start()
        cluster.wait_until_ready()
        self.serves(cluster)
        # Workers wait for the next coordinator; nobody starts their pods again.
        cluster.stop_pods(["facet-coordinator-0"])
        cluster.start_pod("facet-coordinator-0")
        cluster.wait_until_ready()
        self.serves(cluster)
        for name in ("facet-worker-0", "facet-worker-1"):
            self.assertEqual(cluster.pods[name].container("workers").starts, 1)
        cluster.stop_pods(list(cluster.pods))
        self.left_in_order(cluster)

    def test_one_pod_alone_serves_and_leaves(self):
        cluster = self.cluster("cpu-one-node")
        cluster.start()
        cluster.wait_until_ready()
        self.serves(cluster)
        cluster.stop_pods(list(cluster.pods))
        self.left_in_order(cluster)

    def certificate(self, name):
        """(certificate, key) of a server that signs for itself."""
        paths = [os.path.join(self.folder.name, one) for one in ("crt", "key")]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
             "-out", paths[0], "-keyout", paths[1]],
            check=True, capture_output=True)
        return tuple(open_and_read(path) for path in paths)

    def path(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_keys_and_certificates_come_from_a_secret_and_may_change(self):
        certificate, key = self.certificate("facet-0")

        def keys(name, text):
            return json.dumps({"keys": [{"name": name, "key": text}]})
        cluster = self.cluster(
            "cpu-one-node", components=["access"], secrets={"facet-access": {
                "tls.crt": certificate, "tls.key": key,
                "api-keys.json": keys("first", FIRST_KEY)}})
        cluster.start()
        cluster.wait_until_ready()  # probes need neither
        cluster.name_pods_here()
        trusted = f"--server-ca={self.path('ca.crt', certificate)}"

        def ask_with(text):
            return ask("facet-0:8001", trusted,
                       f"--api-key-file={self.path('api-key', text)}",
                       *QUESTION)
        done = ask_with(FIRST_KEY)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(tokens(done), self.expected)
        self.assertNotEqual(ask_with(SECOND_KEY).returncode, 0)
        self.assertNotEqual(ask("facet-0:8001", trusted, *QUESTION).returncode,
                            0)
        self.assertNotEqual(ask("facet-0:8001", *QUESTION).returncode, 0)

        # Rotated: the second key takes the first one's place.
        (pod,) = cluster.pods.values()
        pod.change_secret("access",
                          {"api-keys.json": keys("second", SECOND_KEY)})
        cluster.wait("the new key opens",
                     lambda: ask_with(SECOND_KEY).returncode == 0, TIMEOUT)
        self.assertNotEqual(ask_with(FIRST_KEY).returncode, 0)
        self.assertEqual(pod.containers[0].starts, 1)


if __name__ == "__main__":
    if not os.environ.get(pod_runner.INSIDE):
        reason = pod_runner.why_not()
        if reason:
            print(f"pods_test: skipped, {reason}")
            sys.exit(0)
    pod_runner.enter_node()
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])
