//! A result of any bytes, and the page of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollcast::report::run_page;
use rollcast::result::RunResult;

fuzz_target!(|data: &[u8]| {
    if let Ok(result) = RunResult::read(data) {
        let page = run_page(&result);
        assert!(page.ends_with("</html>\n"));
    }
});
