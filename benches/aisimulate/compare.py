"""Runs Rollcast and AISimulate on one rollout, in turns, and prints simulated tokens per CPU-second.

Called by compare.sh: compare.py ROLLCAST AISIMULATE SCRATCH_FOLDER
"""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPETITIONS = 3
PROMPTS, SAMPLES = 64, 32
ROLLOUTS = PROMPTS * SAMPLES
PROMPT_TOKENS = 256
MEAN_TOKENS, SIGMA, MAX_TOKENS = 7400, 0.9, 32768

# All rollouts arrive at t = 0; nothing queues for long, as 8 replicas x 256 slots hold all of them.
PREDICTION = """\
traffic:
  source: {{type: trace, paths: [{folder}/{trace}.jsonl], format: mooncake, block_size: 256}}
  load: {{type: trace_timestamps}}
engine:
  mode: aggregated
  model: Qwen/Qwen3-235B-A22B
  hardware: h200_sxm
  backend: vllm
  workers:
    aggregated:
      parallelism: {{replicas: 8, tensor: 8, moe_expert: 8}}
      scheduler: {{max_sequences: 256, max_batched_tokens: 8192}}
"""

# `baseline: {}`: both of the two simulations of `rollcast run` are of this very configuration.
SCENARIO = """\
version: 1
name: as large as the AISimulate run
model: llama-3.1-70b
cluster: {{ device: h200-sxm, gpus: 64, gpus_per_node: 8, network: ib-ndr400 }}
workload:
  prompts_per_step: {prompts}
  samples_per_prompt: {samples}
  prompt_tokens: {{ constant: {{ tokens: {prompt_tokens} }} }}
  response_tokens: {{ file: {{ path: {lengths}.txt, max: {max_tokens} }} }}
generation:
  engine: vllm
  layout: {{ tp: 8 }}
  max_num_seqs: 256
  max_num_batched_tokens: 8192
  prefix_caching: false
speculation: {speculation}
baseline: {{}}
rl_steps: 1
seed: 1
uncertainty: {{ workload_draws: 1, worlds: 1 }}
"""

# Acceptance is assumed, of the size of published EAGLE-3 chains.
CHAIN = (
    "{ drafter: eagle3-llama-3.3-70b, "
    "acceptance: { power_law: { first: 0.75, decay: 0.08, concentration: 12 } }, "
    "schedule: { fixed: { k: 3 } } }"
)


def response_lengths():
    """Log-normal lengths at evenly spaced quantiles, clipped, in an order shuffled by a fixed seed."""
    normal = statistics.NormalDist()
    scores = [normal.inv_cdf((i + 0.5) / ROLLOUTS) for i in range(ROLLOUTS)]

    def lengths(mu):
        return [max(1, min(MAX_TOKENS, round(math.exp(mu + SIGMA * score)))) for score in scores]

    low, high = 0.0, math.log(MAX_TOKENS)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if statistics.fmean(lengths(middle)) < MEAN_TOKENS else (low, middle)
    drawn = lengths(low)
    random.Random(1).shuffle(drawn)
    return drawn


class Tool:
    """One row: a command on the whole workload, and on a single rollout of one token: the start-up."""

    def __init__(self, name, command, tokens, processes):
        self.name, self.command, self.tokens, self.processes = name, command, tokens, processes
        self.simulated = None
        self.runs = {"full": [], "start": []}

    def run(self, workload, folder):
        """Runs the command `processes` times; keeps the mean CPU and wall seconds of one."""
        cpu = wall = 0.0
        for _ in range(self.processes):
            begun = time.perf_counter()
            with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
                child = subprocess.Popen(self.command(workload), stdout=out, stderr=err, cwd=folder)
                _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            wall += time.perf_counter() - begun
            cpu += usage.ru_utime + usage.ru_stime  # with all descendants that it waited for
            if child.returncode != 0:
                sys.exit(f"error: {self.name} failed:\n{(folder / 'stderr').read_text()[-2000:]}")
        self.runs[workload].append((cpu / self.processes, wall / self.processes))
        if workload == "full":
            self.simulated = self.tokens()

    def median(self, workload, column):
        return statistics.median(run[column] for run in self.runs[workload])

    def rate(self):
        return self.simulated / self.median("full", 0)

    def loop_rate(self):
        loop = self.median("full", 0) - self.median("start", 0)
        return self.simulated / loop if loop > 0 else math.nan


def tools(rollcast, aisimulate, folder, lengths):
    for workload, prompts, samples, drawn in (("full", PROMPTS, SAMPLES, lengths), ("start", 1, 1, [1])):
        (folder / f"{workload}.txt").write_text("".join(f"{length}\n" for length in drawn))
        # One block of its own for each prompt: nothing is shared, as in the scenario.
        rows = [
            {"timestamp": 0, "input_length": PROMPT_TOKENS, "output_length": length, "hash_ids": [i]}
            for i, length in enumerate(drawn)
        ]
        (folder / f"{workload}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{workload}.yaml").write_text(PREDICTION.format(folder=folder, trace=workload))
        for name, speculation in (("off", "off"), ("chain", CHAIN)):
            text = SCENARIO.format(
                prompts=prompts,
                samples=samples,
                prompt_tokens=PROMPT_TOKENS,
                max_tokens=MAX_TOKENS,
                lengths=workload,
                speculation=speculation,
            )
            (folder / f"{name}-{workload}.yaml").write_text(text)

    def predict(workload):
        config, report = f"{workload}.yaml", str(folder / f"report-{workload}")
        return [aisimulate, "predict", "--config", config, "--output-dir", report, "--overwrite"]

    def predicted():
        report = json.loads((folder / "report-full" / "prediction.json").read_text())
        if report["completed_requests"] != ROLLOUTS or report["total_output_tokens"] != sum(lengths):
            sys.exit("error: AISimulate did not complete every rollout")
        return report["total_output_tokens"]

    def forecast(scenario, stepper):
        options = ["--threads", "1", "--stepper", stepper, "--format", "json", "--quiet"]
        return lambda workload: [rollcast, "run", f"{scenario}-{workload}.yaml", *options]

    def simulated():
        return json.loads((folder / "stdout").read_text())["simulator"]["simulated_tokens"]

    rows = [Tool("AISimulate", predict, predicted, 1)]
    for scenario, label in (("off", ""), ("chain", ", chain K=3")):
        for stepper in ("leap", "exact"):
            rows.append(Tool(f"rollcast {stepper}{label}", forecast(scenario, stepper), simulated, 10))
    return rows


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main():
    rollcast, aisimulate, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    lengths = response_lengths()
    rows = tools(rollcast, aisimulate, folder, lengths)

    for row in rows:  # so that nobody pays for cold files or for compiling Python
        row.run("start", folder)
        row.runs["start"].clear()
    for repetition in range(REPETITIONS):
        print(f"repetition {repetition + 1} of {REPETITIONS}", file=sys.stderr)
        for workload in ("full", "start"):
            for row in rows:
                row.run(workload, folder)

    version = subprocess.run([rollcast, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    peer = rows[0]
    mean, clipped = sum(lengths) / ROLLOUTS, lengths.count(MAX_TOKENS)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{version}; aisimulate {importlib.metadata.version('aisimulate')}; Python {platform.python_version()}")
    print(f"{datetime.date.today()}; {os.cpu_count()} x {processor()}{load}")
    print(
        f"{ROLLOUTS:,} rollouts at t = 0, prompt {PROMPT_TOKENS}, responses of mean {mean:,.0f} tokens "
        f"(log-normal, sigma {SIGMA}; {clipped} clipped at {MAX_TOKENS:,}); 8 replicas x TP8, H200, 256 slots each"
    )
    print("AISimulate: Qwen3-235B-A22B, EP8, without speculation in every comparison")
    print("rollcast: llama-3.1-70b stands in for it, as only the size of the simulation matters; it simulates twice")
    print(f"medians of {REPETITIONS}; start-up: a run of one rollout of one token; ratio: to AISimulate")
    print()
    print(
        "| tool | output tokens simulated | CPU s | wall s | start-up, CPU s "
        "| tokens/CPU-s | ratio | the same without start-up | ratio |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print(
            f"| {row.name} | {row.simulated:,} | {row.median('full', 0):.4f} | {row.median('full', 1):.4f} "
            f"| {row.median('start', 0):.4f} "
            f"| {row.rate():.2e} | {row.rate() / peer.rate():,.0f} "
            f"| {row.loop_rate():.2e} | {row.loop_rate() / peer.loop_rate():,.0f} |"
        )
    print()
    for row in rows:
        spread = " ".join(f"{run[0]:.4f}" for run in row.runs["full"])
        start = " ".join(f"{run[0]:.4f}" for run in row.runs["start"])
        print(f"CPU s of each run, {row.name}: {spread}; start-up: {start}")


if __name__ == "__main__":
    main()
