"""Two clients of the OpenAI API behind one small interface, so that a check is
written once: the published `openai` package, and Python's standard library.

Answers and events are plain dictionaries. Whatever is refused is an ApiError.
"""

import http.client
import json
import urllib.parse


class ApiError(Exception):
    """`status` (0: none), `error` (the body's "error" object), `headers`."""

    def __init__(self, status, error, headers):
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error or {}
        self.headers = {k.lower(): v for k, v in dict(headers).items()}

    @property
    def param(self):
        return self.error.get("param")

    @property
    def code(self):
        return self.error.get("code")

    @property
    def message(self):
        return self.error.get("message", "")


class Timeout(Exception):
    """The client did not want to wait any longer."""


class StdlibClient:
    """The API by http.client and json alone."""

    name = "standard library"

    def __init__(self, address):
        self.address = address

    def request(self, method, path, body=None, headers=None, timeout=120):
        """(status, headers, bytes) of one exchange."""
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            data = body
            headers = dict(headers or {})
            if body is not None and not isinstance(body, bytes):
                data = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except TimeoutError as error:
            raise Timeout() from error
        finally:
            connection.close()

    def call(self, method, path, body=None, timeout=120, headers=None):
        status, answer_headers, data = self.request(method, path, body,
                                                    headers, timeout)
        answer = json.loads(data) if data else {}
        if status != 200:
            raise ApiError(status, answer.get("error"), answer_headers)
        return answer

    def events(self, path, body, timeout=120):
        """The events of a stream; closing the generator ends the request."""
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            connection.request("POST", path,
                               json.dumps(dict(body, stream=True)).encode(),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                answer = json.loads(response.read())
                raise ApiError(response.status, answer.get("error"),
                               response.getheaders())
            for line in response:
                if not line.startswith(b"data: "):
                    continue
                data = line[len(b"data: "):].strip()
                if data == b"[DONE]":
                    return
                event = json.loads(data)
                if event.get("error") and "type" not in event:
                    raise ApiError(0, event["error"], {})
                yield event
        finally:
            connection.close()

    def chat(self, timeout=120, **fields):
        return self.call("POST", "/v1/chat/completions", fields, timeout)

    def chat_stream(self, **fields):
        return self.events("/v1/chat/completions", fields)

    def complete(self, timeout=120, **fields):
        return self.call("POST", "/v1/completions", fields, timeout)

    def complete_stream(self, **fields):
        return self.events("/v1/completions", fields)

    def respond(self, timeout=120, **fields):
        return self.call("POST", "/v1/responses", fields, timeout)

    def respond_stream(self, **fields):
        return self.events("/v1/responses", fields)

    def models(self):
        return self.call("GET", "/v1/models")["data"]

    def model(self, name):
        return self.call("GET", "/v1/models/" +
                         urllib.parse.quote(name, safe=""))


class PackageClient(StdlibClient):
    """The same through the `openai` package; what it has no method for goes
    the other way."""

    def __init__(self, address):
        super().__init__(address)
        import openai
        self.openai = openai
        self.name = f"openai {openai.__version__}"
        self.client = openai.OpenAI(base_url=f"http://{address}/v1",
                                    api_key="none", max_retries=0, timeout=120)

    @staticmethod
    def _arguments(create, fields):
        """Fields that `create` does not know travel as extra_body."""
        import inspect
        known = inspect.signature(create).parameters
        named = {k: v for k, v in fields.items() if k in known}
        extra = {k: v for k, v in fields.items() if k not in known}
        if extra:
            named["extra_body"] = extra
        return named

    def _run(self, create, fields, timeout=None, stream=False):
        arguments = self._arguments(create, fields)
        if timeout is not None:
            arguments["timeout"] = timeout
        if stream:
            arguments["stream"] = True
        try:
            return create(**arguments)
        except self.openai.APITimeoutError as error:
            raise Timeout() from error
        except self.openai.APIStatusError as error:
            raise ApiError(error.status_code, error.body,
                           error.response.headers) from error

    def _whole(self, create, fields, timeout):
        return self._run(create, fields, timeout).model_dump()

    def _stream(self, create, fields):
        with self._run(create, fields, stream=True) as stream:
            try:
                for event in stream:
                    yield event.model_dump()
            except self.openai.APIError as error:
                raise ApiError(0, error.body, {}) from error

    def chat(self, timeout=120, **fields):
        return self._whole(self.client.chat.completions.create, fields, timeout)

    def chat_stream(self, **fields):
        return self._stream(self.client.chat.completions.create, fields)

    def complete(self, timeout=120, **fields):
        return self._whole(self.client.completions.create, fields, timeout)

    def complete_stream(self, **fields):
        return self._stream(self.client.completions.create, fields)

    def respond(self, timeout=120, **fields):
        return self._whole(self.client.responses.create, fields, timeout)

    def respond_stream(self, **fields):
        return self._stream(self.client.responses.create, fields)

    def models(self):
        return [one.model_dump() for one in self.client.models.list().data]

    def model(self, name):
        try:
            return self.client.models.retrieve(name).model_dump()
        except self.openai.APIStatusError as error:
            raise ApiError(error.status_code, error.body,
                           error.response.headers) from error


def make_client(kind, address):
    """`kind`: package, stdlib, or auto (the package where it is there)."""
    if kind == "stdlib":
        return StdlibClient(address)
    try:
        return PackageClient(address)
    except ImportError:
        if kind == "package":
            raise
        return StdlibClient(address)
