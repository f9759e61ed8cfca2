#!/usr/bin/python3
"""The container image: what is in it, what is not, and that its entry point
answers a request from its own root file system.

Usage: image_test.py FACET [NAME OF TEST...]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
IMAGE = os.path.join(ROOT, "deploy", "image")
sys.path[:0] = [HERE, IMAGE]

import oci_layout  # noqa: E402  (the paths have to be there first)
import pod_runner  # noqa: E402

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.join(ROOT, "deploy", "demo-model")
BUILD = os.path.join(IMAGE, "build.py")
QUESTION = ["--prompt=Facet is", "--max-tokens=12", "--temperature=0", "--json"]


def build(*arguments):
    return subprocess.run([sys.executable, BUILD, *arguments],
                          capture_output=True, check=False)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        cls.layout = os.path.join(cls.folder, "image")
        done = build("--facet", FACET, "--model", MODEL, "--tag", "test",
                     "--revision", "abc", "--out", cls.layout)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        cls.manifest, cls.image = oci_layout.read_image(cls.layout)
        cls.root = os.path.join(cls.folder, "root")
        oci_layout.unpack(cls.layout, cls.root)
        os.chmod(cls.folder, 0o755)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def paths(self):
        found = set()
        for folder, _, files in os.walk(self.root):
            found |= {os.path.relpath(os.path.join(folder, name), self.root)
                      for name in files}
        return found

    def test_it_runs_facet_as_nobody(self):
        config = self.image["config"]
        self.assertEqual(config["Entrypoint"], ["/usr/bin/facet"])
        self.assertEqual(config["User"], "65532:65532")
        labels = config["Labels"]
        self.assertEqual(labels["org.opencontainers.image.revision"], "abc")
        self.assertEqual(labels["org.opencontainers.image.licenses"],
                         "Apache-2.0")
        self.assertRegex(labels["org.opencontainers.image.version"],
                         r"^\d+\.\d+")

    def test_it_holds_no_shell_and_no_package_manager(self):
        paths = self.paths()
        self.assertIn("usr/bin/facet", paths)
        programs = [path for path in paths if path.startswith("usr/bin/")]
        self.assertEqual(programs, ["usr/bin/facet"])
        for path in paths:
            self.assertIsNone(re.search(r"(bin/|^)(ba|da)?sh$|dpkg|apt", path),
                              path)

    def test_nothing_in_it_is_setuid_or_writable_by_others(self):
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = os.path.join(folder, name)
                mode = os.lstat(path).st_mode
                if os.path.islink(path) or path == self.root + "/tmp":
                    continue
                self.assertEqual(mode & 0o6022, 0, path)

    def test_the_bill_of_materials_names_every_library_s_package(self):
        with open(os.path.join(self.root, "usr/share/facet/sbom.spdx.json"),
                  encoding="utf-8") as file:
            bill = json.load(file)
        with open(self.layout + ".spdx.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file), bill)
        self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
        names = {one["name"] for one in bill["packages"]}
        self.assertLessEqual(
            {"facet", "libc6", "libstdc++6", "ca-certificates"}, names)
        identifiers = {one["SPDXID"] for one in bill["packages"]}
        self.assertEqual(len(identifiers), len(bill["packages"]))
        for one in bill["relationships"]:
            self.assertIn(one["relatedSpdxElement"], identifiers)
        for name in names - {"facet"}:
            self.assertIn(f"usr/share/doc/{name}/copyright", self.paths())

    def test_the_same_files_make_the_same_image(self):
        again = os.path.join(self.folder, "again")
        build("--facet", FACET, "--model", MODEL, "--tag", "test",
              "--revision", "abc", "--out", again)
        self.assertEqual(oci_layout.read_image(again),
                         (self.manifest, self.image))

    def test_a_damaged_layer_is_noticed(self):
        copy = os.path.join(self.folder, "damaged")
        build("--model", MODEL, "--only-model", "--tag", "m", "--out", copy)
        (layer,) = oci_layout.read_image(copy)[0]["layers"]
        path = os.path.join(copy, "blobs", *layer["digest"].split(":"))
        with open(path, "r+b") as file:
            file.seek(1000)
            byte = file.read(1)
            file.seek(1000)
            file.write(bytes([byte[0] ^ 1]))
        with self.assertRaises(ValueError):
            oci_layout.unpack(copy, os.path.join(self.folder, "never"))

    def test_an_image_of_a_model_holds_the_model_alone(self):
        layout = os.path.join(self.folder, "model")
        done = build("--model", MODEL, "--only-model", "--tag", "m", "--out",
                     layout)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        root = os.path.join(self.folder, "model-root")
        oci_layout.unpack(layout, root)
        self.assertIn("config.json", os.listdir(root))
        self.assertNotIn("usr", os.listdir(root))

    def test_a_binary_that_is_none_is_refused_in_one_line(self):
        done = build("--facet", os.path.join(MODEL, "config.json"), "--out",
                     os.path.join(self.folder, "no"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_its_entry_point_answers_from_its_own_files(self):
        reason = pod_runner.why_not()
        if reason:
            self.skipTest(reason)
        spec = os.path.join(self.folder, "spec.json")
        with open(spec, "w", encoding="utf-8") as file:
            json.dump({
                "root": self.root, "mounts": [], "read_only": True,
                "uid": pod_runner.Cluster.user(65532), "gid": 65532,
                "argv": self.image["config"]["Entrypoint"] + [
                    "generate", "--model=/model", *QUESTION],
                "environment": {"PATH": "/usr/bin"}}, file)
        inside = subprocess.run(
            ["unshare", "--net", "--mount", sys.executable,
             os.path.join(HERE, "container_init.py"), spec],
            capture_output=True, check=False)
        self.assertEqual(inside.returncode, 0, inside.stderr.decode())
        outside = subprocess.run(
            [FACET, "generate", "--model", MODEL, *QUESTION],
            capture_output=True, check=True)
        self.assertEqual(json.loads(inside.stdout)["outputs"],
                         json.loads(outside.stdout)["outputs"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])
