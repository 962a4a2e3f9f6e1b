//! The kernels: sources, and what their machine code must look like.
//!
//! A kernel that spills registers or lost its matrix instructions still computes the right thing, slowly. So what is
//! expected of the machine code is stated here and checked where there is a compiler, GPU or not.

/// Headers that sources include.
pub const HEADERS: [(&str, &str); 2] = [
    ("common.cuh", include_str!("../../kernels/common.cuh")),
    ("logits.cuh", include_str!("../../kernels/logits.cuh")),
];

/// Sources by file name, embedded.
pub const SOURCES: [(&str, &str); 5] = [
    ("attention.cu", include_str!("../../kernels/attention.cu")),
    ("probe.cu", include_str!("../../kernels/probe.cu")),
    ("sampling.cu", include_str!("../../kernels/sampling.cu")),
    ("tokens.cu", include_str!("../../kernels/tokens.cu")),
    ("verify.cu", include_str!("../../kernels/verify.cu")),
];

/// A kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Name.
    pub name: &'static str,
    /// File of its source.
    pub source: &'static str,
    /// Registers a thread may use: what lets the blocks that the design counts on share a multiprocessor.
    pub registers: u32,
    /// What its machine code must contain, as the disassembler spells it.
    pub instructions: &'static [&'static str],
}

/// Matrix instructions, asynchronous copies, matrix loads.
const ATTENTION: &[&str] = &["HMMA.16816.F32.BF16", "LDGSTS.E.BYPASS.128", "LDSM.16.M88.4", "LDSM.16.MT88.4"];

/// Every kernel. 65,536 registers of a multiprocessor over blocks x threads give the budgets.
pub const KERNELS: [Kernel; 22] = [
    Kernel { name: "attention_rows16", source: "attention.cu", registers: 168, instructions: ATTENTION },
    Kernel { name: "attention_rows32", source: "attention.cu", registers: 168, instructions: ATTENTION },
    Kernel { name: "attention_rows64", source: "attention.cu", registers: 255, instructions: ATTENTION },
    Kernel { name: "attention_rows128", source: "attention.cu", registers: 255, instructions: ATTENTION },
    Kernel { name: "row_stats", source: "sampling.cu", registers: 64, instructions: WIDE },
    Kernel { name: "sample", source: "sampling.cu", registers: 64, instructions: WIDE },
    Kernel { name: "top_k", source: "sampling.cu", registers: 64, instructions: WIDE },
    Kernel { name: "verify_chain", source: "verify.cu", registers: 64, instructions: WIDE },
    Kernel { name: "add_rmsnorm", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "norm_concat", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "rope_append", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "silu_mul", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "embed_gather", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "fuse_hidden", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "kv_compact", source: "tokens.cu", registers: 64, instructions: WIDE },
    Kernel { name: "draft_to_target", source: "tokens.cu", registers: 64, instructions: &[] },
    Kernel { name: "copy", source: "probe.cu", registers: 64, instructions: WIDE },
    Kernel { name: "read", source: "probe.cu", registers: 64, instructions: WIDE },
    Kernel { name: "spin", source: "probe.cu", registers: 32, instructions: &[] },
    Kernel { name: "empty", source: "probe.cu", registers: 32, instructions: &[] },
    Kernel { name: "clocks", source: "probe.cu", registers: 32, instructions: &[] },
    Kernel { name: "fill", source: "probe.cu", registers: 64, instructions: &[] },
];

/// Loads of 16 bytes.
const WIDE: &[&str] = &["LDG.E.128"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_a_source_is_in_the_table_once() {
        let mut found = Vec::new();
        for (file, text) in SOURCES {
            let names = text.lines().filter_map(|line| line.strip_prefix("KERNEL("));
            found.extend(names.map(|line| (line.split(',').next().unwrap_or_default(), file)));
        }
        let mut listed: Vec<(&str, &str)> =
            KERNELS.iter().map(|kernel| (kernel.name, kernel.source)).collect();
        found.sort_unstable();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
