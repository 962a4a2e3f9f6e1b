//! What the machine code of a kernel looks like: registers and stack from the file itself, instructions from NVIDIA's
//! disassembler where there is one.
//!
//! A cubin is an ELF file. A kernel's code is the section `.text.NAME`, whose `sh_info` has the registers of a thread in
//! its upper eight bits. Spills show as loads from and stores to local memory (LDL, STL), which no kernel here should
//! have.

use std::fmt::Write as _;

use super::kernels::{KERNELS, Kernel};

/// What was found of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspected {
    /// A line a kernel.
    pub text: String,
    /// Whether nothing was wrong.
    pub passed: bool,
}

/// NVIDIA's disassembler: the text of a cubin, none where it is not there.
pub type Disassembler<'a> = &'a dyn Fn(&[u8]) -> Option<String>;

/// Looks at the machine code of one source file.
pub fn cubin(file: &str, code: &[u8], disassemble: Disassembler) -> Inspected {
    let mut found = Inspected { text: String::new(), passed: true };
    let assembly = disassemble(code);
    for kernel in KERNELS.iter().filter(|kernel| kernel.source == file) {
        let (line, problems) = one(kernel, code, assembly.as_deref());
        // Writing into a string cannot fail.
        let _ = writeln!(found.text, "{:<24} {line}", kernel.name);
        for problem in &problems {
            let _ = writeln!(found.text, "  WRONG: {problem}");
        }
        found.passed &= problems.is_empty();
    }
    if assembly.is_none() {
        let _ = writeln!(found.text, "  instructions of {file} not looked at: no nvdisasm");
    }
    found
}

fn one(kernel: &Kernel, code: &[u8], assembly: Option<&str>) -> (String, Vec<String>) {
    let mut problems = Vec::new();
    let Some(registers) = registers(code, kernel.name) else {
        return ("is not in the machine code".to_owned(), vec!["no such kernel".to_owned()]);
    };
    if registers > kernel.registers {
        problems.push(format!("{registers} registers, at most {}", kernel.registers));
    }
    let mut line = format!("{registers:>3} registers of {:>3}", kernel.registers);
    if let Some(own) = assembly.map(|all| section(all, kernel.name)) {
        // NA: a cache hint inside the name.
        let count = |what: &str| own.lines().filter(|line| line.replace(".NA", "").contains(what)).count();
        let local = count(" LDL") + count(" STL");
        if local > 0 {
            problems.push(format!("{local} accesses to local memory: registers spill"));
        }
        for instruction in kernel.instructions {
            let n = count(instruction);
            let _ = write!(line, "  {instruction} {n}");
            if n == 0 {
                problems.push(format!("no {instruction}"));
            }
        }
        let _ = write!(line, "  spills {local}");
    }
    (line, problems)
}

/// The part of a disassembly that is one kernel's.
fn section<'a>(assembly: &'a str, name: &str) -> &'a str {
    let head = format!(".section\t.text.{name},");
    let Some(start) = assembly.find(&head) else { return "" };
    let rest = &assembly[start + head.len()..];
    rest.find(".section\t").map_or(rest, |end| &rest[..end])
}

/// Registers of a thread, from the section headers of a 64-bit little-endian ELF file.
fn registers(code: &[u8], name: &str) -> Option<u32> {
    let u = |at: usize, n: usize| -> Option<u64> {
        let bytes = code.get(at..at + n)?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    if code.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let (table, size, count, names) = (u(40, 8)? as usize, u(58, 2)? as usize, u(60, 2)?, u(62, 2)? as usize);
    let strings = u(table + names * size + 24, 8)? as usize;
    let wanted = format!(".text.{name}\0");
    (0..count as usize).find_map(|section| {
        let header = table + section * size;
        let at = strings + u(header, 4)? as usize;
        let is = code.get(at..at + wanted.len())? == wanted.as_bytes();
        is.then(|| u(header + 44, 4).map(|info| (info >> 24) as u32))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with the sections "" and `.text.empty`, whose `sh_info` is given.
    fn elf(info: u32) -> Vec<u8> {
        let names = b"\0.text.empty\0";
        let mut file = vec![0_u8; 64];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        let strings = file.len();
        file.extend(names);
        file.resize(file.len().next_multiple_of(8), 0);
        let table = file.len();
        file[40..48].copy_from_slice(&(table as u64).to_le_bytes());
        file[58..64].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
        for (name, offset, info) in [(0_u32, 0_u64, 0), (1, 0, info), (0, strings as u64, 0)] {
            let mut header = [0_u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&offset.to_le_bytes());
            header[44..48].copy_from_slice(&info.to_le_bytes());
            file.extend(header);
        }
        file
    }

    #[test]
    fn registers_are_in_the_section_header() {
        assert_eq!(registers(&elf(0x1400_0003), "empty"), Some(20));
        assert_eq!(registers(&elf(0x1400_0003), "copy"), None);
        assert_eq!(registers(b"not a cubin", "empty"), None);
        assert_eq!(registers(&elf(0x1400_0003)[..100], "empty"), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let none: Disassembler = &|_| None;
        let fine = cubin("probe.cu", &elf(0x0600_0000), none);
        assert!(fine.text.contains("empty                      6 registers of  32\n"), "{}", fine.text);
        assert!(!fine.passed, "the other kernels are missing");
        let kernel =
            Kernel { name: "empty", source: "probe.cu", threads: 32, registers: 32, instructions: &["HMMA"] };
        let assembly = "\t.section\t.text.other,\"ax\"\nHMMA STL\n\t.section\t.text.empty,\"ax\"\n LDL R1\n\t.section\t.x\n HMMA\n";
        let (_, problems) = one(&kernel, &elf(0x2100_0000), Some(assembly));
        assert_eq!(
            problems,
            ["33 registers, at most 32", "1 accesses to local memory: registers spill", "no HMMA"]
        );
    }
}
