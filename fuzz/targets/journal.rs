//! A journal of any bytes, and the page of what it holds. A second reading has the checksums put right first: without that
//! hardly any mutation would get past them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollcast::report::{SweepTable, sweep_page};
use rollcast::study::sweep::journal;

/// FNV-1a, as the journal's lines carry it.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn read(bytes: &[u8]) {
    let mut rows = Vec::new();
    let Ok(contents) = journal::read(bytes, |_, row, _| rows.push(row)) else { return };
    assert!(contents.good_bytes <= bytes.len() as u64);
    let Some(header) = contents.header else { return };
    for row in &rows {
        assert_eq!(journal::row(&row.line(), &header).as_ref(), Some(row), "what is written is read");
    }
    rows.sort_by_key(|row| row.index);
    rows.dedup_by_key(|row| row.index);
    let page = sweep_page(&SweepTable { command: header.command.clone(), header, rows });
    assert!(page.ends_with("</html>\n"));
}

fuzz_target!(|data: &[u8]| {
    read(data);
    let mut right = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let json = line.iter().position(|byte| *byte == b' ').map_or(line, |blank| &line[blank + 1..]);
        let json = json.strip_suffix(b"\n").unwrap_or(json);
        right.extend(format!("{:016x} ", checksum(json)).bytes());
        right.extend(json);
        right.push(b'\n');
    }
    read(&right);
});
