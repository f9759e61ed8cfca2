"""Certificates for tests, made by the openssl command."""

import os
import subprocess


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Issues certificates for localhost; files lie in `directory`."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        self.certificate = self.path("ca.pem")
        self.key = self.path("ca.key")
        self.issued = 0
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", self.key,
                 "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.directory, f"{self.name}-{name}")

    def issue(self, name):
        """(certificate, key): files of a pair for 127.0.0.1 and localhost."""
        self.issued += 1
        certificate, key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        request, extra = self.path(f"{name}.csr"), self.path(f"{name}.ext")
        with open(extra, "w") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                 f"/CN={name}", "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate,
                 "-CAkey", self.key, "-set_serial", str(self.issued), "-days",
                 "2", "-extfile", extra, "-out", certificate)
        return certificate, key


def install(pair, certificate, key):
    """Puts a pair where a server looks for it, each file whole at any time."""
    for source, target in ((pair[1], key), (pair[0], certificate)):
        with open(source, "rb") as file:
            data = file.read()
        with open(target + ".new", "wb") as file:
            file.write(data)
        os.rename(target + ".new", target)
