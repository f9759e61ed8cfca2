"""Random conversations: mostly what clients send, sometimes what they should
not."""

PIECES = [
    "a", "B", "hello", " ", "  ", "\n", "\n\n", "\t", "\r\n", "x y", "0", "42",
    "é", "漢字", "😀", "e\u0301", "ß", "İ", "ǆ", "\u00a0", "\u2003", "\u200b",
    "\ufeff", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\u2028", "'", '"', "\\",
    "\\n", "{", "}", "{{ x }}", "{% raw %}", "{# c #}", "[", "]", ",", ":",
    "<", ">", "|", "<bos>", "<eos>", "<pad>", "<|turn>", "<turn|>",
    "<|channel>", "<channel|>", "<|channel>thought\nold\n<channel|>",
    "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
    "<tool_response|>", '<|"|>', "<|think|>", "<|image|>", "<|audio|>",
    "<|video|>", "user", "model\n", "None", "true", "null",
]
NAMES = [
    "city", "City", "count", "b", "A", "a", "Z", "_x", "unit", "größe", "Éa",
    "éb", "名前", "type", "description", "properties", "required", "nullable",
    "items", "enum", "with space", "1st", "x:y", "ß", "SS", "ss", "key,comma",
]
TYPES = [
    "string", "integer", "number", "boolean", "array", "object", "null",
    "STRING", "Object", "aRRay", "straße",
]


class Maker:
    """Makes conversations from a random.Random."""

    def __init__(self, random):
        self.random = random

    def chance(self, p):
        return self.random.random() < p

    def pick(self, items):
        return self.random.choice(items)

    def text(self, longest=8):
        count = self.random.randrange(longest + 1)
        return "".join(self.pick(PIECES) for _ in range(count))

    def number(self):
        return self.pick([
            0, 1, -1, 7, 10**6, -(2**63), 2**63 - 1, 2**64 - 1, 0.0, -0.0, 1.0,
            0.1, -2.5, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 5e-324,
            1.7976931348623157e308, 1e22, self.random.randrange(10**9),
            self.random.uniform(-1e3, 1e3)
        ])

    def value(self, depth):
        kind = self.random.randrange(10 if depth > 0 else 7)
        if kind < 3:
            return self.text()
        if kind == 3:
            return self.number()
        if kind == 4:
            return self.chance(0.5)
        if kind == 5:
            return None
        if kind == 6:
            return self.pick(["", [], {}, 0, "x"])
        if kind == 7:
            count = self.random.randrange(4)
            return [self.value(depth - 1) for _ in range(count)]
        return self.mapping(depth)

    def mapping(self, depth):
        count = self.random.randrange(5)
        return {self.name(): self.value(depth - 1) for _ in range(count)}

    def name(self):
        return self.pick(NAMES) if self.chance(0.8) else self.text(3)

    def required(self, properties):
        if self.chance(0.05):
            return self.value(1)
        names = list(properties) + [self.name()]
        return [n for n in names if self.chance(0.5)]

    def schema(self, depth):
        schema = {}
        kind = self.pick(TYPES if depth > 0 else TYPES[:4])
        fields = []
        if self.chance(0.95):
            typed = kind
            if self.chance(0.1):
                typed = [kind, "null"]
            elif self.chance(0.03):
                typed = self.value(1)
            fields.append(("type", typed))
        if self.chance(0.6):
            fields.append(("description", self.text()))
        if self.chance(0.2):
            fields.append(("nullable", self.pick([True, False, 1, None])))
        if self.chance(0.25):
            fields.append(("enum", [self.value(1) for _ in range(3)]))
        if self.chance(0.1):
            fields.append((self.pick(["format", "minimum", "default", "title"]),
                           self.value(2)))
        lower = kind.lower()
        if lower == "array" or self.chance(0.05):
            if self.chance(0.9):
                fields.append(("items", self.schema(depth - 1)
                               if self.chance(0.93) else self.value(2)))
        if lower == "object" or self.chance(0.1):
            properties = self.properties(depth - 1)
            if self.chance(0.85):
                fields.append(("properties", properties))
            elif self.chance(0.5):
                fields.extend(properties.items())
            if self.chance(0.6):
                fields.append(("required", self.required(properties)))
        if self.chance(0.1):
            fields.append(("additionalProperties",
                           self.pick([True, False, {"type": "string"}])))
        self.random.shuffle(fields)
        schema.update(fields)
        return schema

    def properties(self, depth):
        count = self.random.randrange(5)
        return {self.name(): self.schema(depth) for _ in range(count)}

    def tool(self):
        function = {"name": self.pick(["get_weather", "f", "add", "größe"])}
        if self.chance(0.03):
            function["name"] = self.value(1)
        if self.chance(0.9):
            function["description"] = self.text()
        if self.chance(0.9):
            properties = self.properties(3)
            parameters = {"type": "object", "properties": properties}
            if self.chance(0.6):
                parameters["required"] = self.required(properties)
            for field in ("type", "properties"):
                if self.chance(0.08):
                    del parameters[field]
            if self.chance(0.03):
                parameters = self.value(3)
            function["parameters"] = parameters
        if self.chance(0.15):
            function["response"] = self.pick([
                {"type": "object", "description": self.text()},
                {"type": "OBJECT"}, {"type": "string"}, {}, {"description": "d"},
                self.value(2)])
        if self.chance(0.1):
            function["strict"] = True
        return {"type": "function", "function": function}

    def call(self, number):
        arguments = self.mapping(4)
        if self.chance(0.1):
            arguments = self.pick(['{"a": 1}', "", self.text(), None])
        call = {"type": "function",
                "function": {"name": self.pick(["get_weather", "f", "add"]),
                             "arguments": arguments}}
        if self.chance(0.9):
            call["id"] = "call_%d" % number
        if self.chance(0.02):
            del call["function"]["arguments"]
        if self.chance(0.01):
            call["function"]["name"] = self.value(1)
        return call

    def parts(self):
        parts = []
        for _ in range(self.random.randrange(5)):
            kind = self.pick(["text", "text", "text", "image", "video",
                              "audio", "image_url", "refusal"])
            part = {"type": kind}
            if kind == "text":
                part["text"] = self.text()
            if self.chance(0.01):
                part = self.value(2)
            parts.append(part)
        return parts

    def content(self):
        if self.chance(0.7):
            return self.text(12)
        if self.chance(0.8):
            return self.parts()
        return self.pick([None, "", [], self.value(2)])

    def tool_message(self, calls):
        message = {"role": "tool", "content": self.content()}
        ids = [c["id"] for c in calls if isinstance(c, dict) and "id" in c]
        if ids and self.chance(0.85):
            message["tool_call_id"] = self.pick(ids)
        elif self.chance(0.3):
            message["tool_call_id"] = "call_none"
        if self.chance(0.5) or "tool_call_id" not in message:
            message["name"] = self.pick(["get_weather", "f", "other"])
        if self.chance(0.1):
            message["content"] = self.value(3)
        if self.chance(0.03):
            del message["content"]
        return message

    def assistant(self, number):
        """An assistant's message and the tools' answers behind it."""
        message = {"role": "assistant"}
        if self.chance(0.05):
            message["role"] = "model"
        if self.chance(0.85):
            message["content"] = self.content()
        if self.chance(0.4):
            name = self.pick(["reasoning_content", "reasoning", "thinking"])
            message[name] = self.pick([self.text(), self.text(), None, ""])
            if self.chance(0.02):
                message[name] = self.value(1)
        messages = [message]
        if self.chance(0.45):
            calls = [self.call(number + i)
                     for i in range(self.pick([1, 1, 1, 2, 3]))]
            message["tool_calls"] = calls
            if self.chance(0.3):
                message["content"] = self.pick([None, "", "I call."])
            if self.chance(0.2):
                message["tool_responses"] = [
                    self.pick([{"name": "f", "response": self.value(3)},
                               {"response": self.mapping(2)}])
                    for _ in calls]
            for _ in range(self.pick([0, 1, len(calls), len(calls)])):
                messages.append(self.tool_message(calls))
        elif self.chance(0.1):
            message["tool_calls"] = self.pick([[], None])
        elif self.chance(0.1):
            message["tool_responses"] = self.pick(
                [[], [{"name": "f", "response": self.value(2)}]])
        return messages

    def conversation(self):
        messages = []
        if self.chance(0.4):
            messages.append({"role": self.pick(["system", "developer"]),
                             "content": self.content() if self.chance(0.1)
                                        else self.text(12)})
        for turn in range(1 + self.random.randrange(4)):
            if self.chance(0.9):
                messages.append({"role": "user", "content": self.content()})
            if self.chance(0.85):
                messages.extend(self.assistant(10 * turn))
            if self.chance(0.15):
                messages.extend(self.assistant(10 * turn + 5))
            if self.chance(0.05):
                messages.append({"role": self.pick(["system", "tool", "critic",
                                                    "developer"]),
                                 "content": self.content()})
        if not messages:
            messages.append({"role": "user", "content": self.content()})
        result = {"messages": messages}
        if self.chance(0.5):
            result["tools"] = [self.tool()
                               for _ in range(self.random.randrange(4))]
        if self.chance(0.5):
            result["enable_thinking"] = self.pick([True, True, False, None])
        if self.chance(0.8):
            result["add_generation_prompt"] = self.chance(0.8)
        return result
