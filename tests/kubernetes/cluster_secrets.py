"""The Secrets that the runbook has an operator make."""

import os
import subprocess
import tempfile

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                    "deploy", "certificates", "make_certificates.sh")


def cluster_secrets():
    """Certificates of a new cluster, by name of the Secret and of its file."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["sh", MAKE, folder], check=True, capture_output=True)

        def read(name):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                return file.read()
        return {f"facet-{role}-certificate": {
            "ca.crt": read("ca.crt"), "tls.crt": read(f"{role}.crt"),
            "tls.key": read(f"{role}.key")} for role in ("coordinator",
                                                         "worker")}
