"""Writes the model card from the evaluation summary and a few live answers.

    python card.py MODEL_DIR SUMMARY.json TRAINING_LOG.txt
"""
import json
import os
import re
import sys

import torch

import data
import evaluate

PROMPTS = [
    ("What is Facet?", {}),
    ("How do I add a worker?", {}),
    ("Tell me a joke.", {}),
    ("What is 47 + 38?", {}),
    ("What is 47 + 38?", {"thinking": True}),
    ("What is the weather in Lisbon?", {"tools": [data.FIXED_TOOLS["get_weather"], data.FIXED_TOOLS["set_timer"]]}),
    ("Sort these words: river apple tiger bread", {}),
    ("Return JSON: Mia is 34 years old and lives in Oslo.", {}),
    ("Bonjour", {}),
    ("Write a limerick about a cat.", {}),
    ("What is in the picture?", {"images": ["shapes-08.png"]}),
]
LABELS = {"facts": "questions about Facet and distributed inference, unseen phrasings", "facts_think": "the same with thinking",
          "multilingual": "French, German, Spanish, Chinese", "arithmetic": "+ and - up to 99 on unseen pairs, tables up to 12",
          "arithmetic_think": "the same with written working, some up to 999", "tool_call": "the right tool with the right arguments",
          "tool_answer": "an answer from a tool's result", "tool_none": "tools declared but not needed",
          "text": "repeat, reverse, count, sort, upper case, letters, JSON", "text_think": "the same with thinking",
          "recall": "one value out of a list of 2 to 60 lines (trained on up to 6 lines only)", "free_text": "stories, limericks, haiku (any sentence of the templates)",
          "vision": "one to three coloured shapes", "vision_pair": "two pictures", "ALL": "all items"}


def main(model, summary_path, log_path):
    torch.set_num_threads(2)
    ref = evaluate.Reference(model)
    images = os.path.join(model, "images")
    samples = []
    for q, o in PROMPTS:
        content = [{"type": "image"}] * len(o.get("images", [])) + [{"type": "text", "text": q}] if o.get("images") else q
        it = {"messages": [data.user(content)], "tools": o.get("tools"), "thinking": o.get("thinking", False), "images": o.get("images", [])}
        _, _, new, _ = ref.answer(it, images)
        mark = ", ".join(filter(None, ["thinking on" if it["thinking"] else "", "get_weather and set_timer declared" if it["tools"] else "",
                                       ", ".join(it["images"])]))
        samples.append((q + (f" ({mark})" if mark else ""), ref.tok.decode(new)))
    s = json.load(open(summary_path))
    rows = "\n".join(f"| {k} | {LABELS[k]} | {s[k]['correct']} / {s[k]['items']} | {100 * s[k]['correct'] / s[k]['items']:.0f} % |"
                     for k in LABELS if k in s)
    sub = ", ".join(f"{k[6:]} {v['correct']}/{v['items']}" for k, v in s.items() if k.startswith(("group:text_", "group:recall", "group:vision")))
    log = open(log_path).read()
    done = re.findall(r"done: (\d+) steps, (\d+) tokens, (\d+) s", log)
    steps, tokens, secs = (sum(int(d[i]) for d in done) for i in range(3))
    n = sum(p.numel() for p in ref.net.parameters()) - ref.net.lm_head.weight.numel() * (ref.net.lm_head.weight.data_ptr() != ref.net.model.language_model.embed_tokens.weight.data_ptr())
    size = sum(os.path.getsize(os.path.join(model, f)) for f in os.listdir(model) if f.endswith(".safetensors"))
    demo = "\n\n".join(f"**{q}**\n```\n{a}\n```" for q, a in samples)
    open(os.path.join(model, "README.md"), "w").write(CARD.format(n=n / 1e6, size=size / 1e6, rows=rows, sub=sub, demo=demo, steps=steps,
                                                                  tokens=tokens * 2 / 1e6, minutes=secs / 60))
    for q, a in samples:
        print(f"> {q}\n{a}\n")


CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
language: [en, fr, de, es, zh]
---
# Facet demo model

A mixture-of-experts model of {n:.1f} million parameters ({size:.1f} MB in bfloat16) in the exact file layout and architecture of Gemma 4
(`Gemma4ForConditionalGeneration`): small enough to ship with a program, and trained, so that its answers make sense and tests can check
meaning as well as numbers.

It was trained from scratch on synthetic conversations that Facet's own script (`train/`) generates. It contains no weights and no text of
Google's Gemma models. It knows a few hundred sentences and a dozen small skills; outside them its answers are wrong. Do not use it for
anything but demonstrations and tests.

## Architecture
| | |
|---|---|
| layers | 6: sliding, sliding, full, twice; sliding window 64 |
| hidden size | 128; dense MLP 256 beside 8 experts of 128, top 2 |
| attention | 4 heads; 2 KV heads; head size 32 (sliding) and 64 (full); full layers use keys as values |
| vocabulary | 3072, BPE with byte fallback; ids 0 to 106 are those of Gemma 4 |
| vision | 2 layers of 64, patches of 16, 3 x 3 pooling, at most 70 soft tokens per picture |
| audio | none |
| context | trained on up to about 350 tokens |
| other | logit softcapping 30, tied embeddings, trained layer scalars, router scales and vision standardisation |

Every dimension divides for tensor parallelism 2 and 4, expert parallelism 2, 4 and 8, and pipelines of 2 and 3 stages.

## What it can do
Exact match of greedy answers on held-out items (`eval.jsonl`), measured with the reference implementation: bf16 weights, fp32 arithmetic.

| task | what | correct | |
|---|---|---|---|
{rows}

By kind: {sub}.

The wordings of questions, pairs of numbers to add or subtract, word lists, tool requests and key lists of these items are held out of
training. Exceptions: multiplication is held out by wording only, a held-out pair may occur with the sum given by a tool, and free text has
few prompts, which training sees too.

Weak spots, so that nobody is surprised: looking up a value in a list (it finds the form of the answer, rarely the value), the kind and
order of shapes in a picture (colours are better), upper case, sorting four or five words, carries in arithmetic, and tools with two text
arguments. For a test of a runtime these items are as good as the others: what counts there is that the runtime gives the reference's
answer, right or wrong. Tests of meaning should take the items whose `correct` is true.

## What it says
{demo}

## Training
{steps} steps, {tokens:.1f} million tokens, {minutes:.0f} minutes on two partly shared CPU cores. Loss on the model's turns only, all data made on the fly.
Muon for matrices, AdamW for the rest; a constant learning rate, then a linear decay; a load-balancing loss keeps all experts in use; the
vision tower first learns to name the shape under each soft token. The run was short and the curve had not flattened: more time makes a
better model. `train/log.txt` is the log; `train/README.md` says how to repeat or continue it.

## Files
`config.json`, `generation_config.json`, two safetensors shards with an index, `tokenizer.json`, `tokenizer_config.json`,
`chat_template.jinja` (Facet's own wording of Gemma 4's current chat format), `processor_config.json`; `images/`: pictures of the evaluation;
`eval.jsonl`: one item a line:

| field | meaning |
|---|---|
| `id`, `task` | label |
| `messages`, `tools`, `images`, `enable_thinking` | the conversation; images are files of `images/` in order of appearance |
| `prompt`, `prompt_tokens` | rendered text (one placeholder per picture) and the ids with expanded placeholders |
| `expected` or `expected_pattern` | the right answer with the token that ends it, or a regular expression |
| `output_tokens`, `output_text`, `correct` | the reference's greedy answer and whether it is right |
| `smallest_margin` | smallest gap between best and second logit on the way; below about 0.05 another rounding may choose otherwise |

Weights, tokenizer, data and scripts: Apache License 2.0.
"""

if __name__ == "__main__":
    main(*sys.argv[1:])
