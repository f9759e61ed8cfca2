#!/usr/bin/env python3
"""Converts a Gemma 4 text checkpoint (bf16 safetensors) to GGUF for llama.cpp.

Usage: convert.py CHECKPOINT_DIRECTORY OUT.gguf

Matrices keep their bf16 bits. Norms, scales and the router's matrix, which
llama.cpp wants in f32, are widened.
"""

import os
import re
import struct
import sys

import checkpoint
import gguf_file
from gguf_file import BF16, BOOL, F32, FLOAT32, INT32, STRING, UINT32

ARCHITECTURE = "gemma4"
_FILE_TYPE_BF16 = 32

# Kinds of tokens, as GGUF numbers them.
_NORMAL, _CONTROL, _UNUSED, _BYTE = 1, 3, 5, 6

_OUTER_NAMES = {
    "embed_tokens.weight": "token_embd.weight",
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
    "norm.weight": "output_norm.weight",
}

_LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "layer_scalar": "layer_output_scale.weight",
    "router.proj.weight": "ffn_gate_inp.weight",
    "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale",
    "experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight",
    "pre_feedforward_layernorm_2.weight": "pre_ffw_norm_2.weight",
    "post_feedforward_layernorm_1.weight": "post_ffw_norm_1.weight",
    "post_feedforward_layernorm_2.weight": "post_ffw_norm_2.weight",
    "per_layer_input_gate.weight": "inp_gate.weight",
    "per_layer_projection.weight": "proj.weight",
    "post_per_layer_input_norm.weight": "post_norm.weight",
}


def gguf_name(name):
    """The name that llama.cpp has for a tensor; None for one of another model
    in the same checkpoint (vision, audio)."""
    inner = re.sub(r"^model\.(language_model\.)?", "", name)
    if inner in _OUTER_NAMES:
        return _OUTER_NAMES[inner]
    match = re.fullmatch(r"layers\.(\d+)\.(.+)", inner)
    if match and match[2] in _LAYER_NAMES:
        return f"blk.{match[1]}.{_LAYER_NAMES[match[2]]}"
    return None


def widen(bf16):
    """bf16 bytes as those of f32 with the same values."""
    wide = bytearray(2 * len(bf16))
    wide[2::4] = bf16[0::2]
    wide[3::4] = bf16[1::2]
    return bytes(wide)


def tensor_entries(directory, config):
    entries = [_rope_divisors(config)]
    for tensor in checkpoint.tensors(directory):
        name = gguf_name(tensor.name)
        if name is None:
            continue
        if tensor.dtype != "BF16":
            raise ValueError(f"{tensor.name}: {tensor.dtype}, expected BF16")
        if len(tensor.shape) == 1 or ".router." in tensor.name:
            entries.append(gguf_file.TensorEntry(
                name, F32, tensor.shape, lambda data=tensor.data: widen(data)))
        else:
            entries.append(gguf_file.TensorEntry(
                name, BF16, tensor.shape, tensor.data))
    return entries


def _rope_divisors(config):
    """Divisors of the global layers' rotation frequencies, one for each pair
    of a head's values: pairs that the model leaves alone are slowed to a stop.
    """
    pairs = config["global_head_dim"] // 2
    rope = config["rope_parameters"]["full_attention"]
    rotated = int(rope.get("partial_rotary_factor", 1.0) * pairs)
    divisors = [1.0] * rotated + [1e30] * (pairs - rotated)
    return gguf_file.TensorEntry("rope_freqs.weight", F32, (pairs,),
                                 struct.pack(f"<{pairs}f", *divisors))


def model_pairs(config, name):
    layers = config["num_hidden_layers"]
    sliding = [kind == "sliding_attention" for kind in config["layer_types"]]
    sharing = config.get("num_kv_shared_layers") or 0
    width = config["intermediate_size"]
    if config.get("use_double_wide_mlp"):
        widths = [width] * (layers - sharing) + [2 * width] * sharing
    else:
        widths = [width] * layers
    kv_heads = config["num_key_value_heads"]
    global_kv_heads = kv_heads
    if config.get("attention_k_eq_v"):
        global_kv_heads = config.get("num_global_key_value_heads") or kv_heads
    head, global_head = config["head_dim"], config["global_head_dim"]
    rope = config["rope_parameters"]
    softcap = config.get("final_logit_softcapping")

    inner = [
        ("block_count", UINT32, layers),
        ("context_length", UINT32, config["max_position_embeddings"]),
        ("embedding_length", UINT32, config["hidden_size"]),
        ("embedding_length_per_layer_input", UINT32,
         config.get("hidden_size_per_layer_input") or 0),
        ("feed_forward_length", INT32, widths),
        ("attention.head_count", UINT32, config["num_attention_heads"]),
        ("attention.head_count_kv", INT32,
         [kv_heads if local else global_kv_heads for local in sliding]),
        ("attention.key_length", UINT32, global_head),
        ("attention.value_length", UINT32, global_head),
        ("attention.key_length_swa", UINT32, head),
        ("attention.value_length_swa", UINT32, head),
        ("attention.sliding_window", UINT32, config["sliding_window"]),
        ("attention.sliding_window_pattern", BOOL, sliding),
        ("attention.shared_kv_layers", UINT32, sharing),
        ("attention.layer_norm_rms_epsilon", FLOAT32, config["rms_norm_eps"]),
        ("rope.dimension_count", UINT32, global_head),
        ("rope.dimension_count_swa", UINT32, head),
        ("rope.freq_base", FLOAT32, rope["full_attention"]["rope_theta"]),
        ("rope.freq_base_swa", FLOAT32,
         rope["sliding_attention"]["rope_theta"]),
    ]
    if softcap:
        inner.append(("final_logit_softcapping", FLOAT32, softcap))
    if config.get("enable_moe_block"):
        inner += [
            ("expert_count", UINT32, config["num_experts"]),
            ("expert_used_count", UINT32, config["top_k_experts"]),
            ("expert_feed_forward_length", UINT32,
             config["moe_intermediate_size"]),
        ]
    return [
        ("general.architecture", STRING, ARCHITECTURE),
        ("general.name", STRING, name),
        ("general.file_type", UINT32, _FILE_TYPE_BF16),
    ] + [(f"{ARCHITECTURE}.{key}", kind, value) for key, kind, value in inner]


def _token_kind(token, control):
    if token in control:
        return _CONTROL
    return _BYTE if re.fullmatch(r"<0x[0-9A-F]{2}>", token) else _NORMAL


def tokenizer_pairs(config, tokenizer):
    """Enough of the tokenizer for llama.cpp to load; prompts are token ids."""
    vocabulary = dict(tokenizer["model"]["vocab"])
    control = set()
    for added in tokenizer["added_tokens"]:
        vocabulary[added["content"]] = added["id"]
        if added["special"]:
            control.add(added["content"])
    count = config["vocab_size"]
    tokens = [f"<unused_{i}>" for i in range(count)]
    kinds = [_UNUSED] * count
    for token, index in vocabulary.items():
        if index < count:
            tokens[index] = token
            kinds[index] = _token_kind(token, control)
    merges = [merge if isinstance(merge, str) else " ".join(merge)
              for merge in tokenizer["model"]["merges"]]
    end = config["eos_token_id"]
    return [
        ("tokenizer.ggml.model", STRING, ARCHITECTURE),
        ("tokenizer.ggml.tokens", STRING, tokens),
        ("tokenizer.ggml.scores", FLOAT32, [0.0] * count),
        ("tokenizer.ggml.token_type", INT32, kinds),
        ("tokenizer.ggml.merges", STRING, merges),
        ("tokenizer.ggml.bos_token_id", UINT32, config["bos_token_id"]),
        ("tokenizer.ggml.eos_token_id", UINT32,
         end[0] if isinstance(end, list) else end),
        ("tokenizer.ggml.padding_token_id", UINT32, config["pad_token_id"]),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]


def convert(directory, out):
    """Writes `out`, which gets its name when it is whole."""
    config = checkpoint.text_config(directory)
    tokenizer = checkpoint.read_json(directory, "tokenizer.json")
    name = os.path.basename(os.path.normpath(directory))
    try:
        pairs = model_pairs(config, name) + tokenizer_pairs(config, tokenizer)
        entries = tensor_entries(directory, config)
    except KeyError as missing:
        raise ValueError(f"{directory}: config.json or tokenizer.json has no "
                         f"field {missing}") from None
    partial = out + ".partial"
    gguf_file.write(partial, pairs, entries)
    os.replace(partial, out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    convert(sys.argv[1], sys.argv[2])
