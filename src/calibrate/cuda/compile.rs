//! CUDA C++ to machine code of sm_90a, by NVRTC. Its safe layer gives PTX only, so the calls are made here.

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use cudarc::nvrtc::{result, sys};

use super::super::bench::BenchError;
use super::super::kernels::HEADERS;

/// Hopper with its own instructions.
const ARCHITECTURE: &str = "--gpu-architecture=sm_90a";

fn wrong(call: &'static str) -> impl Fn(result::NvrtcError) -> BenchError {
    move |error| BenchError::Call { call, message: format!("{error:?}") }
}

fn text(text: &str) -> Result<CString, BenchError> {
    let nul = |error| BenchError::Unsupported(format!("a source with a zero byte: {error}"));
    CString::new(text).map_err(nul)
}

/// NVRTC's version.
pub(super) fn version() -> Result<String, BenchError> {
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    // SAFETY: writes two numbers.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result().map_err(wrong("nvrtcVersion"))?;
    Ok(format!("{major}.{minor}"))
}

/// The machine code of one source. `flaw` plants a bug by defining its name.
pub(super) fn cubin(file: &str, source: &str, flaw: Option<&str>) -> Result<Vec<u8>, BenchError> {
    let (source, name) = (text(source)?, text(file)?);
    let headers: Vec<[CString; 2]> = HEADERS
        .iter()
        .map(|(name, held)| Ok([text(name)?, text(held)?]))
        .collect::<Result<_, BenchError>>()?;
    let pointers = |which: usize| headers.iter().map(|header| header[which].as_ptr()).collect();
    let (names, texts): (Vec<*const c_char>, Vec<*const c_char>) = (pointers(0), pointers(1));
    let mut program: sys::nvrtcProgram = ptr::null_mut();
    // SAFETY: all texts end with a zero and outlive the call, and there are as many headers as names.
    unsafe {
        sys::nvrtcCreateProgram(
            &raw mut program,
            source.as_ptr(),
            name.as_ptr(),
            headers.len().try_into().unwrap_or(c_int::MAX),
            texts.as_ptr(),
            names.as_ptr(),
        )
    }
    .result()
    .map_err(wrong("nvrtcCreateProgram"))?;
    let mut options = vec![ARCHITECTURE.to_owned(), "--std=c++17".to_owned()];
    options.extend(flaw.map(|flaw| format!("-D{flaw}")));
    // SAFETY: the program was created above and is destroyed once below.
    let compiled = unsafe { result::compile_program(program, &options) };
    let code = compiled.map_err(|error| {
        // SAFETY: the program exists.
        let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|c| *c != 0).collect();
        let message = format!("{error:?}\n{}", String::from_utf8_lossy(&log));
        BenchError::Call { call: "nvrtcCompileProgram", message }
    });
    let code = code.and_then(|()| {
        let mut size = 0_usize;
        // SAFETY: the program is compiled; the second call writes as many bytes as the first one says.
        unsafe {
            sys::nvrtcGetCUBINSize(program, &raw mut size).result().map_err(wrong("nvrtcGetCUBINSize"))?;
            let mut code = vec![0_u8; size];
            sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result().map_err(wrong("nvrtcGetCUBIN"))?;
            Ok(code)
        }
    });
    // SAFETY: nothing uses the program after this.
    unsafe { result::destroy_program(program) }.map_err(wrong("nvrtcDestroyProgram"))?;
    code
}
