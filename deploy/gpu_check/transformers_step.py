"""The reference's decode step on the same GPU: 6 layers of 31B's shape."""

import json
import sys
import time

try:
    import torch
    import transformers
    from transformers import Gemma4TextConfig, Gemma4ForCausalLM
except ImportError as error:
    print(json.dumps({"transformers": "not here", "why": str(error)}))
    sys.exit(0)


def main():
    layers = ["sliding_attention"] * 5 + ["full_attention"]
    config = Gemma4TextConfig(
        vocab_size=262144, hidden_size=5376, intermediate_size=21504,
        num_hidden_layers=6, num_attention_heads=32, num_key_value_heads=16,
        num_global_key_value_heads=4, head_dim=256, global_head_dim=512,
        attention_k_eq_v=True, sliding_window=1024, layer_types=layers,
        hidden_size_per_layer_input=0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Gemma4ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    model.eval()
    ids = torch.randint(3, 1000, (1, 512), device="cuda")
    with torch.inference_mode():
        out = model(ids, use_cache=True)
        past, token = out.past_key_values, ids[:, :1]
        times = []
        for _ in range(48):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            out = model(token, past_key_values=past, use_cache=True)
            past = out.past_key_values
            torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
    times = sorted(times[16:])
    print(json.dumps({
        "transformers": transformers.__version__, "torch": torch.__version__,
        "layers": 6, "tokens": 1,
        "ms_per_step": 1e3 * times[len(times) // 2]}))


main()
