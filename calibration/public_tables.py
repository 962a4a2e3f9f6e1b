"""Writes the public kernel tables of a device in the form that `rollcast fit` reads.

    python3 -m venv V && V/bin/pip install pandas pyarrow
    V/bin/pip download --no-deps aisimulate==0.13.0.dev202610270000000085
    V/bin/python calibration/public_tables.py aisimulate-*.whl gb200 TABLES/gb200
    V/bin/python calibration/public_tables.py aisimulate-*.whl runs TABLES/figures     # whole serving runs, for a test

The tables are those inside NVIDIA's AISimulate (Apache-2.0; the former aiconfigurator's): CUDA-graph replays of the same
buffers, means of 6 to 20, at burst clocks. Rows are picked and columns renamed; no time is smoothed or filled in. Only
rows that a form can use are written: heads of 128 without a window, one query a sequence, prompts without a prefix, the
expert shapes below; linear attention of the gated delta rule and, with several queries, of Kimi's delta attention.
"""

import posixpath
import sys
import zipfile
from pathlib import Path

import pandas

RELEASE = "AISimulate 0.13.0.dev20261027"
SYSTEMS = "aisimulate_core/systems/data"
# Device in the catalog: folder of the tables; releases of vLLM and SGLang (fp8 products in blocks); whose all-reduces, the first
# that holds a number of GPUs (eight and more GPUs of an NVL72 were taken in vLLM on a GB300 only: the same fabric); NCCL.
DEVICES = {
    "a100-sxm-80g": ("a100_sxm", "vllm/0.14.0", None, ["a100_sxm/comm/vllm/0.14.0"], "nccl/2.27.3"),
    "h100-sxm": ("h100_sxm", "vllm/0.24.0", "sglang/0.5.14", ["h100_sxm/comm/vllm/0.24.0"], "nccl/2.29.2"),
    "h200-sxm": ("h200_sxm", "vllm/0.24.0", "sglang/0.5.14", ["h200_sxm/comm/vllm/0.24.0"], "nccl/2.29.2"),
    "b200": ("b200_sxm", "vllm/0.25.0", "sglang/0.5.14", ["b200_sxm/comm/vllm/0.24.0"], "nccl/2.29.2"),
    "b300": ("b300_sxm", "vllm/0.25.0", "sglang/0.5.14", ["b300_sxm/comm/vllm/0.24.0"], "nccl/2.29.2"),
    "gb200": ("gb200", "vllm/0.25.0", "sglang/0.5.14", ["gb200/comm/vllm/0.24.0", "gb300/comm/vllm/0.27.0"], "nccl/2.23"),
    "gb300": ("gb300", "vllm/0.25.0", "sglang/0.5.14", ["gb300/comm/vllm/0.27.0"], "nccl/2.29.2"),
}
# The only rows of linear attention with several queries: a state of the same size under a like rule. An A100 has none.
VERIFY = "kda/vllm/0.1.dev19262"
# hidden, intermediate, experts, experts a token.
SHAPES = [
    (2048, 768, 128, 8),
    (4096, 1536, 128, 8),
    (4096, 1024, 512, 10),
    (4096, 14336, 8, 2),
    (6144, 2560, 160, 8),
    (7168, 2048, 256, 8),
]
# Those of further models, in a table of their own: Qwen3.5-35B and -122B, MiniMax-M2, Kimi-K2.
FURTHER_SHAPES = [
    (2048, 512, 256, 8),
    (3072, 1024, 256, 8),
    (3072, 1536, 256, 8),
    (7168, 2048, 384, 8),
]
# Those without a gate, in another: Nemotron-3 Nano, and Ultra between the projections around its experts (rows of its shape at
# full width are of no layer that is served).
UNGATED_SHAPES = [
    (2688, 1856, 128, 6),
    (2048, 5120, 512, 22),
]
FORMATS = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block"}
ROUTINGS = {"balanced": "balanced", "power_law_1.01": "pl1.01", "power_law_1.2": "pl1.2"}
AXES = {
    "gemm": "m: tokens, n: features, k: features",
    "attention_decode": "heads: heads, kv_heads: heads, head_dim: features, batch: sequences, queries: tokens, context: tokens",
    "attention_latent": "heads: heads, batch: sequences, queries: tokens, context: tokens",
    "attention_prefill": "heads: heads, kv_heads: heads, head_dim: features, batch: sequences, tokens: tokens",
    "linear_attention": "key_heads: heads, value_heads: heads, head_dim: features, batch: sequences, tokens: tokens",
    "moe": "hidden: features, inter: features, experts: experts, topk: experts, tp: gpus, ep: gpus, tokens: tokens",
}
RUNS = {
    "deepseek-ai/DeepSeek-R1": "deepseek-v3",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "Qwen/Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "MiniMaxAI/MiniMax-M2.5": "minimax-m2.5",
}
COLLECTIVES = ["all_reduce", "all_gather", "reduce_scatter"]


class Source:
    """AISimulate's wheel, or a folder that it was unpacked to."""

    def __init__(self, path):
        self.archive = zipfile.ZipFile(path) if Path(path).is_file() else None
        self.folder = Path(path)

    def read(self, inner):
        name = f"{SYSTEMS}/{inner}"
        if self.archive is None:
            return pandas.read_parquet(self.folder / name)
        with self.archive.open(name) as file:
            return pandas.read_parquet(file)


    def read_csv(self, inner):
        name = posixpath.normpath(f"{SYSTEMS}/{inner}")
        if self.archive is None:
            return pandas.read_csv(self.folder / name)
        with self.archive.open(name) as file:
            return pandas.read_csv(file)


class Writer:
    def __init__(self, device, folder):
        self.device, self.folder = device, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, op, rows, provider, axes, labels, main, file=None):
        """`main` is the axis along which a row over 1.3 times both neighbours is flagged as a spike."""
        names = [part.split(":")[0].strip() for part in axes.split(",")]
        rest = labels + [name for name in names if name != main]
        rows = rows.drop_duplicates(rest + [main], keep="last").sort_values(rest + [main])
        rows = rows.assign(median_us=(rows.latency * 1000).round(3))
        times = rows.groupby(rest, sort=False)["median_us"]
        over = [rows.median_us > 1.3 * times.shift(step) for step in (1, -1)]
        rows = rows.assign(flag=(over[0] & over[1]).astype(int))
        path = self.folder / f"{file or op}.csv"
        with path.open("w") as out:
            out.write("---\nrollcast_measured: 1\n")
            out.write(f"device: {self.device}\nversions: {{}}\n")
            out.write(f'provider: "{RELEASE} ({provider})"\nl2: mixed\nclocks: burst\nop: {op}\n')
            out.write(f"axes: {{ {axes} }}\n---\n")
            rows[labels + names + ["median_us", "flag"]].to_csv(out, index=False)
        print(f"{path}: {len(rows)} rows")


def products(source, folder, vllm, sglang):
    parts = [(vllm, ["bfloat16", "fp8"])] + ([(sglang, ["fp8_block"])] if sglang else [])
    tables = []
    for release, formats in parts:
        rows = source.read(f"{folder}/gemm/{release}/gemm_perf.parquet")
        tables.append(rows[rows.gemm_dtype.isin(formats)])
    rows = pandas.concat(tables)
    return rows.assign(dtype=rows.gemm_dtype.map(FORMATS))


def attention(source, folder, vllm, which):
    rows = source.read(f"{folder}/attention/{vllm}/{which}_attention_perf.parquet")
    rows = rows[rows.head_dim == 128]
    for column in ("window_size", "step" if which == "context" else None):
        if column in rows:
            rows = rows[rows[column] == 0]
    rows = rows.assign(kv_dtype=rows.kv_cache_dtype.map(FORMATS), queries=1)
    length = {"context": rows.isl + rows.step} if which == "generation" else {"tokens": rows.isl}
    names = {"num_heads": "heads", "num_key_value_heads": "kv_heads", "batch_size": "batch"}
    return rows.rename(columns=names).assign(**length)


def latent(source, folder, release):
    """The kernel alone, absorbed: DeepSeek-V3's latent of 512 numbers and key of 64."""
    rows = source.read(f"{folder}/mla/{release}/generation_mla_perf.parquet")
    rows = rows[(rows.kv_cache_dtype == "bfloat16") & (rows.mla_dtype == "bfloat16")]
    names = {"num_heads": "heads", "batch_size": "batch"}
    return rows.rename(columns=names).assign(kv_dtype="bf16", queries=1, context=rows.isl + rows.step)


def linear(source, folder, vllm):
    rows = source.read(f"{folder}/linear_attention/{vllm}/gdn_perf.parquet")
    verify = source.read(f"{folder}/{VERIFY}/kda_perf.parquet")
    rows = pandas.concat([rows, verify[verify.phase == "verify"]])
    rows = rows[(rows.head_k_dim == 128) & (rows.head_v_dim == 128)]
    kernel = rows.kernel_source.str.contains("conv").map({True: "convolution", False: "rule"})
    phase = rows.phase.map({"context": "prefill", "generation": "decode", "verify": "decode"})
    names = {"num_k_heads": "key_heads", "num_v_heads": "value_heads", "head_k_dim": "head_dim", "batch_size": "batch"}
    return rows.rename(columns=names).assign(kernel=kernel, phase=phase, tokens=rows.seq_len)


def experts(source, folder, vllm, chosen):
    rows = source.read(f"{folder}/moe/{vllm}/moe_perf.parquet")
    names = {
        "hidden_size": "hidden",
        "inter_size": "inter",
        "num_experts": "experts",
        "moe_tp_size": "tp",
        "moe_ep_size": "ep",
        "num_tokens": "tokens",
    }
    rows = rows.rename(columns=names)
    shapes = rows[["hidden", "inter", "experts", "topk"]].apply(tuple, axis=1)
    rows = rows[shapes.isin(chosen) & rows.moe_dtype.isin(["bfloat16", "fp8_block"]) & rows.distribution.isin(ROUTINGS)]
    # Layers of DeepSeek-V3's width are a kernel of their own in bf16; nobody serves them so.
    rows = rows[(rows.moe_dtype != "bfloat16") | (rows.hidden != 7168)]
    return rows.assign(dtype=rows.moe_dtype.map(FORMATS), routing=rows.distribution.map(ROUTINGS))


def collectives(source, folder, custom, nccl):
    held, parts = set(), []
    for inner in custom:
        part = source.read(f"{inner}/custom_allreduce_perf.parquet")
        parts.append(part[~part.num_gpus.isin(held)])
        held |= set(part.num_gpus)
    rows = pandas.concat(parts)
    rows = rows.assign(implementation=rows.backend + " " + rows.version, op="all_reduce")
    library = source.read(f"{folder}/comm/{nccl}/nccl_perf.parquet")
    library = library[library.nccl_dtype == "half"]
    # Of several versions the newest that holds a number of GPUs.
    newest = library.groupby("num_gpus")["version"].transform("max")
    library = library[library.version == newest]
    library = library.assign(implementation="nccl " + library.version, op=library.op_name)
    rows = pandas.concat([rows, library])
    return rows.assign(ranks=rows.num_gpus, bytes=rows.message_size * 2)


def runs(source, folder):
    """Serving runs of mixtures of experts in fp8, prefill and decode on the same GPUs, attention not data-parallel, experts
    split or spread over the same GPUs.

    Left out: nightly releases, and vLLM's runs of Qwen3-235B, which take 52 ms a token on two GPUs at any batch, as eager
    mode would.
    """
    rows = source.read_csv("../silicon_sample.csv")
    rows = rows[(rows["mode"] == "agg") & rows.gemm_quant_mode.isin(["fp8", "fp8_block"]) & (rows.pp_size == 1)]
    rows = rows[rows.backend.eq("sglang") | (rows.backend.eq("vllm") & rows.model_path.str.startswith("MiniMaxAI/"))]
    rows = rows[(rows.attention_dp_size.fillna(1) == 1) & rows.backend_version.fillna("").str.match(r"\d+\.\d+\.\d+")]
    rows = rows.assign(ep=rows.moe_ep_size.fillna(1))
    rows = rows[(rows.ep == 1) | (rows.ep == rows.tp_size)]
    devices = {of[0]: device for device, of in DEVICES.items()}
    rows = rows.assign(model=rows.model_path.map(RUNS), device=rows.system.map(devices), engine=rows.backend)
    rows = rows[rows.model.notna() & rows.device.notna()]
    names = {"backend_version": "version", "batch_size": "batch", "tp_size": "tp", "silicon_tpot_ms": "tpot_ms"}
    rows = rows.rename(columns=names)
    for column in ("batch", "tp", "ep", "isl", "osl"):
        rows[column] = rows[column].astype(int)
    path = Path(folder) / "serving_runs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows[["engine", "version", "model", "device", "tp", "ep", "batch", "isl", "osl", "tpot_ms"]].to_csv(path, index=False)
    print(f"{path}: {len(rows)} runs")


def main():
    if len(sys.argv) == 4 and sys.argv[2] == "runs":
        return runs(Source(sys.argv[1]), sys.argv[3])
    if len(sys.argv) != 4 or sys.argv[2] not in DEVICES:
        sys.exit(f"usage: public_tables.py WHEEL_OR_FOLDER DEVICE|runs OUT; devices: {', '.join(DEVICES)}")
    source, device, writer = Source(sys.argv[1]), sys.argv[2], Writer(sys.argv[2], sys.argv[3])
    folder, vllm, sglang, custom, nccl = DEVICES[device]
    release = vllm.replace("vllm/", "vLLM ")
    blocks = f", fp8_block {sglang.replace('sglang/', 'SGLang ')}" if sglang else ""
    writer.write("gemm", products(source, folder, vllm, sglang), release + blocks, AXES["gemm"], ["dtype"], "m")
    for op, which, axis in (("attention_decode", "generation", "context"), ("attention_prefill", "context", "tokens")):
        writer.write(op, attention(source, folder, vllm, which), release, AXES[op], ["kv_dtype"], axis)
    mla = "trtllm/1.0.0" if sglang is None else sglang
    release_mla = mla.replace("trtllm/", "TensorRT-LLM ").replace("sglang/", "SGLang ")
    writer.write("attention_latent", latent(source, folder, mla), release_mla, AXES["attention_latent"], ["kv_dtype"], "context")
    if sglang is not None:
        writer.write("linear_attention", linear(source, folder, vllm), release, AXES["linear_attention"], ["kernel", "phase"], "batch")
    for file, chosen in (("moe", SHAPES), ("moe_further", FURTHER_SHAPES), ("moe_ungated", UNGATED_SHAPES)):
        rows = experts(source, folder, vllm, chosen)
        if len(rows) > 0:
            writer.write("moe", rows, release, AXES["moe"], ["dtype", "routing"], "tokens", file)
    rows = collectives(source, folder, custom, nccl)
    for op in COLLECTIVES:
        part = rows[rows.op == op]
        writer.write(op, part, "by row", "ranks: gpus, bytes: bytes", ["implementation"], "bytes")


main()
