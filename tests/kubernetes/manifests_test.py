#!/usr/bin/python3
"""Every overlay renders, is what the API server takes, and keeps the promises
of policy.py; and what checks that would notice if not.

Usage: manifests_test.py FACET [NAME OF TEST...]
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import kustomize  # noqa: E402  (they lie beside this file)
import policy  # noqa: E402
import schema  # noqa: E402
from workloads import by_kind, flags_of, toml, workloads  # noqa: E402

FACET = os.path.abspath(sys.argv[1])
DEPLOY = os.path.join(HERE, "..", "..", "deploy", "kubernetes")
OVERLAYS = os.path.join(DEPLOY, "overlays")
COMPONENTS = os.path.join(DEPLOY, "components")
CONFIGS = os.path.join(HERE, "..", "..", "runtime", "config", "testdata")
NAMES = sorted(os.listdir(OVERLAYS))


def render(name):
    return kustomize.render(os.path.join(OVERLAYS, name))


def with_component(name, component):
    """An overlay as an operator writes one: ours and a component."""
    return kustomize.render_with(os.path.join(OVERLAYS, name),
                                 [os.path.join(COMPONENTS, component)])


def pod(resources, index=0):
    return workloads(resources)[index]


class Overlays(unittest.TestCase):
    def test_every_overlay_is_what_the_api_server_takes(self):
        schemas = schema.Schemas()
        for name in NAMES:
            for resource in render(name):
                self.assertEqual(schemas.errors(resource), [],
                                 f"{name}: {resource['kind']}")

    def test_every_overlay_keeps_the_promises(self):
        for name in NAMES:
            self.assertEqual(policy.errors_of(render(name)), [], name)

    def test_every_component_goes_with_every_overlay_it_is_for(self):
        schemas = schema.Schemas()
        for component in sorted(os.listdir(COMPONENTS)):
            lws_only = component in ("rdma", "autoscaling")
            for name in ("cpu-one-node", "cpu-lws", "cpu-statefulset"):
                if lws_only and name != "cpu-lws":
                    continue
                resources = with_component(name, component)
                where = f"{name} with {component}"
                self.assertEqual(policy.errors_of(resources), [], where)
                for resource in resources:
                    self.assertEqual(schemas.errors(resource), [], where)

    def test_names_are_unique(self):
        for name in NAMES:
            found = [(one["kind"], one["metadata"]["name"])
                     for one in render(name)]
            self.assertEqual(len(found), len(set(found)), name)

    def test_every_flag_is_one_that_facet_knows(self):
        known = {}
        for verb in ("serve", "worker"):
            help_text = subprocess.run(
                [FACET, verb, "--help"], capture_output=True, check=True,
                timeout=120).stdout.decode()
            known[verb] = set(re.findall(r"--([a-z-]+)", help_text))
            self.assertIn("config", known[verb])
        every = {name: render(name) for name in NAMES}
        for component in os.listdir(COMPONENTS):
            every[component] = with_component("cpu-lws", component)
        for name, resources in every.items():
            for workload in workloads(resources):
                for container in workload.spec["containers"]:
                    verb = container["args"][0]
                    used = set(flags_of(container))
                    self.assertEqual(used - known[verb], set(), name)
            for file, text in by_kind(resources, "ConfigMap")[0][
                    "data"].items():
                verb = file.removesuffix(".toml")
                self.assertEqual(set(toml(text)) - known[verb], set(),
                                 f"{name}: {file}")

    def test_a_changed_flag_rolls_the_pods(self):
        resources = render("cpu-lws")
        (config,) = by_kind(resources, "ConfigMap")
        changed = copy.deepcopy(config)
        changed["data"]["serve.toml"] += "chunk = 256\n"
        self.assertNotEqual(kustomize.content_hash(config),
                            kustomize.content_hash(changed))
        for workload in workloads(resources):
            names = [volume["configMap"]["name"]
                     for volume in workload.spec["volumes"]
                     if "configMap" in volume]
            self.assertEqual(names, [config["metadata"]["name"]])

    def test_kubectl_renders_the_same(self):
        kubectl = shutil.which("kubectl", path="/usr/local/bin:/usr/bin:/bin")
        version = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"], timeout=120,
            capture_output=True, check=False).stdout if kubectl else b""
        kustomize_version = (json.loads(version).get("kustomizeVersion", "")
                             if version else "")
        if not kustomize_version.startswith("v5"):
            self.skipTest("no kubectl with Kustomize 5 on this machine")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        copy_of_all = os.path.join(folder.name, "kubernetes")
        shutil.copytree(DEPLOY, copy_of_all)  # kubectl follows no link outside
        for name in NAMES:
            done = subprocess.run(
                [kubectl, "kustomize",
                 os.path.join(copy_of_all, "overlays", name)],
                capture_output=True, check=False, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            key = lambda one: (one["kind"], one["metadata"]["name"])
            self.assertEqual(
                sorted(yaml.safe_load_all(done.stdout), key=key),
                sorted(render(name), key=key), name)


class Plans(unittest.TestCase):
    """What `facet plan --kubernetes` prints goes into manifests as it is."""

    # Overlay to the model and flags that made its plan.
    SHIPPED = {
        "gpu-one-node": ("26B-A4B", "--gpus=4", "--gpu-memory=24G"),
        "gpu-lws-26b-a4b": ("26B-A4B", "--nodes=2", "--gpus=4",
                            "--gpu-memory=24G"),
        "gpu-lws-31b": ("31B", "--nodes=2", "--gpus=8", "--gpu-memory=80G"),
    }

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def plan(self, model, *flags):
        folder = os.path.join(self.folder.name, model)
        os.makedirs(folder, exist_ok=True)
        shutil.copyfile(os.path.join(CONFIGS, f"gemma-4-{model}.config.json"),
                        os.path.join(folder, "config.json"))
        done = subprocess.run(
            [FACET, "plan", "--model", folder, "--kubernetes", *flags],
            capture_output=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def rendered(self, form, plan):
        component = os.path.join(self.folder.name, "plan")
        os.makedirs(component, exist_ok=True)
        with open(os.path.join(component, "kustomization.yaml"), "w",
                  encoding="utf-8") as file:
            file.write(plan)
        resources = kustomize.render_with(
            os.path.join(DEPLOY, form),
            [component, os.path.join(COMPONENTS, "model-volume")])
        for workload in workloads(resources):
            for container in workload.spec["containers"]:
                container["image"] += ":0.1"
        self.assertEqual(policy.errors_of(resources), [])
        schemas = schema.Schemas()
        for resource in resources:
            self.assertEqual(schemas.errors(resource), [])
        return resources

    def test_31b_on_two_nodes_of_four_gpus(self):
        resources = self.rendered("lws", self.plan(
            "31B", "--nodes=2", "--gpus=4", "--gpu-memory=80G"))
        for index, container in ((0, 1), (1, 0)):
            limits = pod(resources, index).spec["containers"][container][
                "resources"]["limits"]
            self.assertEqual(limits["nvidia.com/gpu"], "4")

    def test_26b_a4b_on_one_node_of_four_gpus(self):
        resources = self.rendered("one-node", self.plan(
            "26B-A4B", "--gpus=4", "--gpu-memory=24G"))
        limits = pod(resources).spec["containers"][0]["resources"]["limits"]
        self.assertEqual(limits["nvidia.com/gpu"], "4")
        (config,) = by_kind(resources, "ConfigMap")
        self.assertEqual(toml(config["data"]["serve.toml"])["ep"], "4")

    def test_every_form_takes_a_plan(self):
        cpus = ("--node-cpus=16", "--node-memory=64G")
        self.rendered("statefulset", self.plan(
            "E4B", "--nodes=2", "--form=statefulset", *cpus))
        self.rendered("lws", self.plan("E4B", "--nodes=2", *cpus))
        self.rendered("one-node", self.plan("E4B", *cpus))
        self.rendered("statefulset", self.plan(
            "31B", "--nodes=2", "--gpus=4", "--gpu-memory=80G",
            "--form=statefulset"))

    def test_the_plans_of_the_overlays_are_what_facet_plans_today(self):
        for name, (model, *flags) in self.SHIPPED.items():
            path = os.path.join(OVERLAYS, name, "plan", "kustomization.yaml")
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), self.plan(model, *flags), name)


class Checks(unittest.TestCase):
    """A manifest with one fault, for each promise."""

    def refused(self, words, change, overlay="cpu-lws"):
        resources = copy.deepcopy(render(overlay))
        change(resources)
        found = "\n".join(policy.errors_of(resources))
        self.assertIn(words, found)

    def test_root_is_refused(self):
        self.refused("root", lambda r: pod(r).spec["securityContext"].update(
            runAsNonRoot=False))

    def test_a_writable_root_file_system_is_refused(self):
        self.refused("root file system", lambda r: pod(r).spec["containers"][1][
            "securityContext"].update(readOnlyRootFilesystem=False))

    def test_privileges_and_capabilities_are_refused(self):
        self.refused("privileges", lambda r: pod(r, 1).spec["containers"][0][
            "securityContext"].pop("allowPrivilegeEscalation"))
        self.refused("IPC_LOCK", lambda r: pod(r, 1).spec["containers"][0][
            "securityContext"]["capabilities"].update(add=["IPC_LOCK"]))
        self.refused("capabilities", lambda r: pod(r).spec["containers"][0][
            "securityContext"].pop("capabilities"))

    def test_a_container_without_limits_is_refused(self):
        self.refused("memory", lambda r: pod(r).spec["containers"][0][
            "resources"]["limits"].pop("memory"))
        self.refused("than its limit", lambda r: pod(r).spec["containers"][0][
            "resources"]["requests"].update(memory="3Gi"))

    def test_a_missing_or_misleading_probe_is_refused(self):
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.refused(name, lambda r, name=name: pod(r).spec["containers"][
                0].pop(name))
        self.refused("liveness", lambda r: pod(r).spec["containers"][0][
            "livenessProbe"]["grpc"].update(service="readiness"))
        self.refused("--health", lambda r: pod(r).spec["containers"][0][
            "livenessProbe"]["grpc"].update(port=8001))

    def test_too_little_time_to_drain_is_refused(self):
        self.refused("to leave", lambda r: pod(r).spec.update(
            terminationGracePeriodSeconds=60))
        self.refused("preStop", lambda r: pod(r).spec["containers"][0].pop(
            "lifecycle"))

    def test_selectors_that_miss_are_refused(self):
        self.refused("selects no pod", lambda r: by_kind(r, "Service")[0][
            "spec"]["selector"].update({policy.COMPONENT: "api"}))
        self.refused("leaves out", lambda r: by_kind(r, "NetworkPolicy")[0][
            "spec"]["podSelector"]["matchLabels"].update(
                {policy.COMPONENT: "worker"}))
        self.refused("everybody", lambda r: by_kind(r, "NetworkPolicy")[0][
            "spec"]["ingress"].append({"ports": [{"port": 8002}]}))

    def test_more_workers_than_expected_are_refused(self):
        self.refused("expects 2 workers", lambda r: by_kind(r, "ConfigMap")[0][
            "data"].update({"worker.toml": "workers = 2\n"}))
        self.refused("expects 2 workers", lambda r: by_kind(
            r, "StatefulSet")[1]["spec"].update(replicas=3), "cpu-statefulset")

    def test_schemas_refuse_unknown_fields_and_wrong_types(self):
        schemas = schema.Schemas()
        resources = render("cpu-lws")
        (lws,) = by_kind(resources, "LeaderWorkerSet")
        for path, value, words in (
                ("/spec/replica", 1, "/spec/replica: unknown field"),
                ("/spec/replicas", "1", "expected integer"),
                ("/spec/leaderWorkerTemplate/restartPolicy", "Always",
                 "none of"),
                ("/spec/leaderWorkerTemplate/size", 0, "below 1"),
                ("/spec/leaderWorkerTemplate/leaderTemplate/spec/containers/0"
                 "/livenessProbe/grpc/port", "health", "expected integer"),
                ("/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0"
                 "/resources/limits/memory", "2 Gi", "no quantity"),
                ("/spec/leaderWorkerTemplate/workerTemplate/spec/container", [],
                 "unknown field")):
            changed = copy.deepcopy(lws)
            kustomize.apply_json_patch(
                changed, [{"op": "add", "path": path, "value": value}])
            self.assertIn(words, "\n".join(schemas.errors(changed)), path)

    def test_a_patch_that_hits_nothing_is_refused(self):
        with self.assertRaises(kustomize.Refused):
            kustomize.apply_json_patch(
                {"spec": {}}, [{"op": "replace", "path": "/spec/replicas",
                                "value": 1}])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])
