#!/usr/bin/env python3
"""Renders random conversations with the published chat templates, by Jinja2,
and with Facet: the texts are the same bytes, and where the template raises an
error Facet refuses.

  chat_differential.py RENDER_CONVERSATIONS [--templates=DIR]
                       [--conversations=2000] [--seed=1]

DIR (or FACET_CHAT_TEMPLATES) holds the templates under any names: those are
taken whose SHA-256 is one of TEMPLATES, and then all published ones have to be
there. Without DIR, the demo model's own template is compared, which words the
current format differently.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import random_conversations  # noqa: E402

TEMPLATES = {
    "87294f1fa94c3733b7f325252567c990edfd0269ff7df285f995ca5226c8989b":
        "original",
    "65f93a25708c952457106a30e185ba7beffddd726121c8d7e3f3e08b23c16c67":
        "interleaved",
    "85a08664d16d8f3be4416c92427b3ac10df1024ac566cc0b4bc3bab409393f98":
        "current",
}
DEMO = "deploy/demo-model"
SHOWN = 5  # differences of each format


def skip(why):
    print("SKIPPED: %s" % why)
    sys.exit(0)


def find_templates(directory):
    """Format name to the template's text."""
    found = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            if os.path.getsize(path) > 1 << 20:
                continue
            data = open(path, "rb").read()
            known = TEMPLATES.get(hashlib.sha256(data).hexdigest())
            if known:
                found[known] = data.decode()
    return found


def compiled(text):
    """The template in the environment that transformers renders it in."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"])
    return environment.from_string(text)


def prepared(conversation):
    """Template variables, with thoughts under the name the templates read."""
    variables = json.loads(json.dumps(conversation))
    for message in variables["messages"]:
        for name in ("reasoning_content", "thinking", "reasoning"):
            if message.get(name) is not None:
                message["reasoning_content"] = message[name]
                break
    variables.setdefault("tools", None)
    variables.setdefault("add_generation_prompt", True)
    variables["bos_token"] = "<bos>"
    return variables


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("renderer")
    parser.add_argument("--templates",
                        default=os.environ.get("FACET_CHAT_TEMPLATES"))
    parser.add_argument("--conversations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        import jinja2  # noqa: F401
    except ImportError:
        skip("python3-jinja2 is not installed")
    if options.templates:
        templates = find_templates(options.templates)
        missing = set(TEMPLATES.values()) - set(templates)
        if missing:
            skip("%s has no published template of the formats: %s" %
                 (options.templates, ", ".join(sorted(missing))))
    else:
        with open(os.path.join(DEMO, "chat_template.jinja")) as file:
            templates = {"current": file.read()}

    maker = random_conversations.Maker(random.Random(options.seed))
    conversations = [maker.conversation()
                     for _ in range(options.conversations)]
    different = 0
    for name, text in sorted(templates.items()):
        lines = "".join(
            json.dumps({"format": name, "conversation": c}) + "\n"
            for c in conversations)
        answers = subprocess.run([options.renderer], input=lines.encode(),
                                 stdout=subprocess.PIPE, check=True).stdout
        answers = [json.loads(a) for a in answers.decode().split("\n") if a]
        assert len(answers) == len(conversations), len(answers)
        template = compiled(text)
        shown = refused = wrong = 0
        for conversation, answer in zip(conversations, answers):
            try:
                expected = template.render(**prepared(conversation))
            except Exception as error:  # whatever the template raises
                expected = None
                reason = "%s: %s" % (type(error).__name__, error)
                refused += 1
            if answer.get("text") == expected:
                continue
            wrong += 1
            if shown < SHOWN:
                shown += 1
                print("%s: %s" % (name, json.dumps(conversation,
                                                   ensure_ascii=False)))
                print("  template: %r" % (
                    reason if expected is None else expected))
                print("  facet:    %r" % (
                    answer.get("error") if "text" not in answer
                    else answer["text"]))
        print("%s: %d conversations, %d refused by the template, "
              "%d differences" % (name, len(conversations), refused, wrong))
        different += wrong
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
