"""A `facet serve` process of one's own, for as long as a `with` block."""

import select
import signal
import subprocess

START_SECONDS = 240


class FacetServer:
    """Serves `model`; `http` and `grpc` are its addresses, HOST:PORT."""

    def __init__(self, facet, model, *flags, log=None):
        self.log = log if log is not None else subprocess.DEVNULL
        self.command = [facet, "serve", "--model", model, "--http=127.0.0.1:0",
                        "--grpc=127.0.0.1:0", "--control=127.0.0.1:0",
                        *flags]
        if not any(flag.startswith("--grace=") for flag in flags):
            self.command.append("--grace=5s")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE,
                                        stderr=self.log)
        if not select.select([self.process.stdout], [], [], START_SECONDS)[0]:
            self.process.kill()
            raise TimeoutError("the server is not ready")
        ready = self.process.stdout.readline().decode()
        if not ready.startswith("ready http="):
            self.process.kill()
            raise RuntimeError(f"the server did not start: {ready!r}")
        words = dict(word.split("=", 1) for word in ready.split()[1:])
        self.http, self.grpc = words["http"], words["grpc"]
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        """Ends it as an operator would; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        return self.process.returncode

    def memory(self):
        """Bytes of the process that no file backs."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0
