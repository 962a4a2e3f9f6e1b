//! What the machine code of a kernel looks like: registers and stack from the file itself, instructions from NVIDIA's
//! disassembler where there is one.
//!
//! A cubin is an ELF file. Its section `.nv.info` lists attributes of kernels, registers and stack of a thread among them;
//! its layout is not documented, and was read off files beside what cuobjdump prints of them. Registers that spill lie on
//! the stack, and show as loads from and stores to local memory (LDL, STL), which no kernel here should have.

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
    let Some(registers) = attribute(code, kernel.name, REGISTERS) else {
        return ("is not in the machine code".to_owned(), vec!["no such kernel".to_owned()]);
    };
    if registers > kernel.registers {
        problems.push(format!("{registers} registers, at most {}", kernel.registers));
    }
    let stack = attribute(code, kernel.name, STACK).unwrap_or(0);
    if stack > 0 {
        problems.push(format!("{stack} bytes of stack a thread: registers spill"));
    }
    let mut line = format!("{registers:>3} registers of {:>3}  stack {stack}", kernel.registers);
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

/// An attribute of a kernel; none where the file has no such kernel.
fn attribute(code: &[u8], name: &str, attribute: u8) -> Option<u32> {
    let elf = Elf::of(code)?;
    let (symbols, names, info) = (elf.section(".symtab")?, elf.section(".strtab")?, elf.section(".nv.info")?);
    let mut at = 0;
    // Entries: form, attribute, and either a value of two bytes or so many bytes behind.
    while let (Some(head), Some(size)) = (info.get(at..at + 2), number(info, at + 2, 2)) {
        let behind = if head[0] == SIZED { size as usize } else { 0 };
        if head == [SIZED, attribute] {
            let symbol = number(info, at + 4, 4)? as usize * SYMBOL;
            let from = number(symbols, symbol, 4)? as usize;
            let end = from + name.len();
            if names.get(from..end) == Some(name.as_bytes()) && names.get(end) == Some(&0) {
                return number(info, at + 8, 4).map(|n| n as u32);
            }
        }
        at += 4 + behind;
    }
    None
}

/// Form of an entry of `.nv.info` whose bytes follow, and the attributes that hold a symbol and its registers, and a symbol
/// and the bytes of stack of a thread.
const SIZED: u8 = 4;
const REGISTERS: u8 = 0x2f;
const STACK: u8 = 0x11;
/// Bytes of an ELF symbol.
const SYMBOL: usize = 24;

/// A little-endian number of `n` bytes.
fn number(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    Some(bytes.get(at..at.checked_add(n)?)?.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

/// A 64-bit little-endian ELF file: where its section headers are, their size and number, and which holds the names.
struct Elf<'a> {
    code: &'a [u8],
    table: usize,
    size: usize,
    count: usize,
    names: usize,
}

impl<'a> Elf<'a> {
    fn of(code: &'a [u8]) -> Option<Self> {
        if code.get(..5)? != b"\x7fELF\x02" {
            return None;
        }
        let n = |at, n| number(code, at, n).map(|n| n as usize);
        Some(Elf { code, table: n(40, 8)?, size: n(58, 2)?, count: n(60, 2)?, names: n(62, 2)? })
    }

    fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        let header = self.table + index * self.size;
        let (from, size) =
            (number(self.code, header + 24, 8)? as usize, number(self.code, header + 32, 8)? as usize);
        self.code.get(from..from.checked_add(size)?)
    }

    fn section(&self, name: &str) -> Option<&'a [u8]> {
        let names = self.bytes(self.names)?;
        let is = |index: &usize| {
            let at =
                number(self.code, self.table + index * self.size, 4).map_or(usize::MAX, |at| at as usize);
            let end = at.saturating_add(name.len());
            names.get(at..end) == Some(name.as_bytes()) && names.get(end) == Some(&0)
        };
        self.bytes((0..self.count).find(is)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with the kernel `empty`, its registers and its stack, as a cubin has them.
    fn elf(registers: u32, stack: u32) -> Vec<u8> {
        let names = b"\0.symtab\0.strtab\0.nv.info\0".to_vec();
        let mut symbols = vec![0_u8; 2 * SYMBOL];
        symbols[SYMBOL] = 1;
        let mut info =
            vec![3, 0x1b, 0xff, 0, SIZED, 0x0a, 4, 0, 9, 9, 9, 9, SIZED, REGISTERS, 8, 0, 1, 0, 0, 0];
        info.extend(registers.to_le_bytes());
        info.extend([SIZED, STACK, 8, 0, 1, 0, 0, 0]);
        info.extend(stack.to_le_bytes());
        let mut file = vec![0_u8; 64];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        let mut headers = Vec::new();
        for (name, bytes) in [(0_u32, names), (1, symbols), (9, b"\0empty\0".to_vec()), (17, info)] {
            let mut header = [0_u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            headers.extend(header);
            file.extend(bytes);
        }
        let table = file.len() as u64;
        file[40..48].copy_from_slice(&table.to_le_bytes());
        file[58..64].copy_from_slice(&[64, 0, 4, 0, 0, 0]);
        file.extend(headers);
        file
    }

    #[test]
    fn registers_and_stack_are_among_the_attributes() {
        assert_eq!(attribute(&elf(20, 8), "empty", REGISTERS), Some(20));
        assert_eq!(attribute(&elf(20, 8), "empty", STACK), Some(8));
        assert_eq!(attribute(&elf(20, 8), "empt", REGISTERS), None);
        assert_eq!(attribute(&elf(20, 8), "copy", REGISTERS), None);
        assert_eq!(attribute(b"not a cubin", "empty", REGISTERS), None);
        assert_eq!(attribute(&elf(20, 8)[..100], "empty", REGISTERS), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let none: Disassembler = &|_| None;
        let fine = cubin("probe.cu", &elf(6, 0), none);
        assert!(
            fine.text.contains("empty                      6 registers of  32  stack 0\n"),
            "{}",
            fine.text
        );
        assert!(!fine.passed, "the other kernels are missing");
        let kernel = Kernel { name: "empty", source: "probe.cu", registers: 32, instructions: &["HMMA"] };
        let assembly = "\t.section\t.text.other,\"ax\"\nHMMA STL\n\t.section\t.text.empty,\"ax\"\n LDL R1\n\t.section\t.x\n HMMA\n";
        let (_, problems) = one(&kernel, &elf(33, 16), Some(assembly));
        assert_eq!(
            problems,
            [
                "33 registers, at most 32",
                "16 bytes of stack a thread: registers spill",
                "1 accesses to local memory: registers spill",
                "no HMMA"
            ]
        );
    }
}
