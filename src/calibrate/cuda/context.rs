//! Driver calls behind types that free what they hold: context, stream, arena, modules, graphs, events.

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::ptr;

use cudarc::driver::sys::CUdevice_attribute as A;
use cudarc::driver::{DriverError, result, sys};

use super::super::bench::BenchError;
use super::super::inspect;
use super::super::kernels::KERNELS;
use super::super::launch::Launch;
use super::{compile, library};

/// The oldest driver whose calls are used here, as `cuDriverGetVersion` counts.
const OLDEST: i32 = 12_080;
/// Left to the driver and to libraries.
const SPARE: usize = 3 << 30;
/// Every allocation begins at a multiple of this.
const ALIGN: u64 = 1024;

pub(super) fn wrong(call: &'static str) -> impl Fn(DriverError) -> BenchError {
    move |error| BenchError::Call { call, message: error.to_string() }
}

/// Of calls that make one work ready or put it on the stream: what cannot be done is that work, and the others may go on.
/// A context that is broken says so again at the next wait.
fn refused(call: &'static str) -> impl Fn(DriverError) -> BenchError {
    move |error| BenchError::Unsupported(format!("{call}: {error}"))
}

/// A context on the first GPU, one stream, one arena.
#[derive(Debug)]
pub(super) struct Context {
    device: sys::CUdevice,
    pub(super) stream: sys::CUstream,
    arena: sys::CUdeviceptr,
    size: u64,
    used: u64,
    pub(super) facts: Facts,
}

/// What the device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    /// Of CUDA, that the driver speaks.
    pub(super) cuda: i32,
    pub(super) multiprocessors: u64,
    pub(super) l2: u64,
}

impl Context {
    pub(super) fn open() -> Result<Self, BenchError> {
        library::need_driver()?;
        let none = |error: DriverError| BenchError::NoDevice(format!("no GPU that CUDA can use: {error}"));
        result::init().map_err(none)?;
        let mut cuda = 0;
        // SAFETY: writes one number.
        unsafe { sys::cuDriverGetVersion(&raw mut cuda) }.result().map_err(none)?;
        if cuda < OLDEST {
            let message = format!("the driver speaks CUDA {}, this needs 12.8 or newer", version(cuda));
            return Err(BenchError::NoDevice(message));
        }
        let device = result::device::get(0).map_err(none)?;
        let name = result::device::get_name(device).map_err(none)?;
        let attribute = |which| {
            // SAFETY: the device exists.
            unsafe { result::device::get_attribute(device, which) }.map_err(none)
        };
        let major = attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        if major != 9 {
            let message =
                format!("{name} is of compute capability {major}; the kernels are for 9.0: H100, H200");
            return Err(BenchError::NoDevice(message));
        }
        let multiprocessors = attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u64;
        let l2 = attribute(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as u64;
        // SAFETY: the device exists; its primary context is released in `drop`.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(none)?;
        // SAFETY: the context was just retained.
        unsafe { result::ctx::set_current(context) }.map_err(none)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(wrong("cuStreamCreate"))?;
        let (free, _) = result::mem_get_info().map_err(wrong("cuMemGetInfo"))?;
        let size = free.saturating_sub(SPARE).max(1 << 28);
        // SAFETY: plain device memory, freed in `drop`.
        let arena = unsafe { result::malloc_sync(size) }.map_err(wrong("cuMemAlloc"))?;
        let facts = Facts { name, cuda, multiprocessors, l2 };
        Ok(Context { device, stream, arena, size: size as u64, used: 0, facts })
    }

    /// Forgets every allocation after `mark`.
    pub(super) fn release(&mut self, mark: u64) {
        self.used = self.used.min(mark);
    }

    /// What is allocated now, to come back to.
    pub(super) fn mark(&self) -> u64 {
        self.used
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.size - self.used
    }

    pub(super) fn allocate(&mut self, bytes: u64) -> Result<sys::CUdeviceptr, BenchError> {
        let size = bytes.max(1).next_multiple_of(ALIGN);
        if size > self.left() {
            return Err(BenchError::Memory { needed: size, free: self.left() });
        }
        let at = self.arena + self.used;
        self.used += size;
        Ok(at)
    }

    /// Waits for everything on the stream.
    pub(super) fn wait(&self) -> Result<(), BenchError> {
        // SAFETY: the stream lives as long as the context.
        unsafe { result::stream::synchronize(self.stream) }.map_err(wrong("cuStreamSynchronize"))
    }

    #[expect(clippy::unused_self, reason = "only a context that is current can be written to")]
    pub(super) fn upload(&self, to: sys::CUdeviceptr, bytes: &[u8]) -> Result<(), BenchError> {
        // SAFETY: `to` was allocated with at least these bytes; the call returns when `bytes` may change.
        unsafe { result::memcpy_htod_sync(to, bytes) }.map_err(wrong("cuMemcpyHtoD"))?;
        // The copy may still be under way when the call returns, and our stream does not wait for it by itself.
        result::ctx::synchronize().map_err(wrong("cuCtxSynchronize"))
    }

    pub(super) fn download(&self, from: sys::CUdeviceptr, bytes: &mut [u8]) -> Result<(), BenchError> {
        self.wait()?;
        // SAFETY: `from` was allocated with at least these bytes.
        unsafe { result::memcpy_dtoh_sync(bytes, from) }.map_err(wrong("cuMemcpyDtoH"))
    }

    pub(super) fn set(&self, at: sys::CUdeviceptr, byte: u8, bytes: u64) -> Result<(), BenchError> {
        // SAFETY: the range was allocated.
        unsafe { result::memset_d8_async(at, byte, bytes as usize, self.stream) }
            .map_err(wrong("cuMemsetD8Async"))
    }

    /// Enqueues a launch whose parameters are these bytes.
    pub(super) fn launch(
        &self,
        function: sys::CUfunction,
        launch: &Launch,
        parameters: &[u8],
    ) -> Result<(), BenchError> {
        // The driver reads as many bytes as the kernel's struct has; u64s give it the alignment of a pointer.
        let mut words: Vec<u64> = parameters
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
        let mut pointers: [*mut c_void; 1] = [words.as_mut_ptr().cast()];
        let [x, y, z] = launch.grid;
        // SAFETY: the kernel takes one struct; its layout is tested against its source on the host.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared,
                self.stream,
                &mut pointers,
            )
        }
        .map_err(refused("cuLaunchKernel"))
    }

    /// What `enqueue` puts on the stream, as a graph that is ready to run.
    pub(super) fn capture(
        &self,
        enqueue: &mut dyn FnMut() -> Result<(), BenchError>,
    ) -> Result<Graph, BenchError> {
        let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives; capture ends below whatever `enqueue` says.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(wrong("cuStreamBeginCapture"))?;
        let enqueued = enqueue();
        // SAFETY: as above.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        let graph = match (enqueued, graph) {
            (Ok(()), graph) => graph.map_err(refused("cuStreamEndCapture"))?,
            (Err(error), graph) => {
                if let Ok(graph) = graph {
                    // SAFETY: the graph was just made, and nothing else knows it.
                    unsafe { result::graph::destroy(graph) }.map_err(wrong("cuGraphDestroy"))?;
                }
                return Err(error);
            }
        };
        let mut nodes = 0;
        // SAFETY: the graph was just made, and is not needed once there is an executable one; asked for no nodes, the
        // first call writes their number.
        let executable = unsafe {
            let counted = sys::cuGraphGetNodes(graph, ptr::null_mut(), &raw mut nodes).result();
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags_enum(0));
            result::graph::destroy(graph).map_err(wrong("cuGraphDestroy"))?;
            counted.map_err(wrong("cuGraphGetNodes"))?;
            executable.map_err(refused("cuGraphInstantiate"))?
        };
        let graph = Graph { executable, nodes: nodes as u64 };
        // SAFETY: both live.
        unsafe { result::graph::upload(graph.executable, self.stream) }.map_err(refused("cuGraphUpload"))?;
        Ok(graph)
    }

    pub(super) fn replay(&self, graph: &Graph) -> Result<(), BenchError> {
        // SAFETY: both live.
        unsafe { result::graph::launch(graph.executable, self.stream) }.map_err(refused("cuGraphLaunch"))
    }

    #[expect(clippy::unused_self, reason = "modules belong to the context that is current")]
    /// Compiles and loads all kernels, with a planted bug where one is named.
    pub(super) fn kernels(
        &self,
        sources: &[(&str, &str)],
        flaw: Option<&str>,
    ) -> Result<Functions, BenchError> {
        let mut functions = Functions::default();
        for (file, source) in sources {
            let code = compile::cubin(file, source, flaw)?;
            functions.notes += &inspect::cubin(file, &code, &|_| None).text;
            // SAFETY: a whole cubin; the driver copies it.
            let module = unsafe { result::module::load_data(code.as_ptr().cast()) }
                .map_err(wrong("cuModuleLoadData"))?;
            for kernel in KERNELS.iter().filter(|kernel| kernel.source == *file) {
                let Ok(name) = CString::new(kernel.name) else { continue };
                // SAFETY: the module is never unloaded.
                let function = unsafe { result::module::get_function(module, name) }
                    .map_err(wrong("cuModuleGetFunction"))?;
                let most = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                // SAFETY: raises a limit of the function; 200 KiB are there on Hopper beside what is static.
                unsafe { result::function::set_function_attribute(function, most, 200 << 10) }
                    .map_err(wrong("cuFuncSetAttribute"))?;
                if kernel.source == "attention.cu" {
                    let carve_out =
                        sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
                    // SAFETY: a preference in per cent; two or three blocks of these must fit on a multiprocessor.
                    unsafe { result::function::set_function_attribute(function, carve_out, 100) }
                        .map_err(wrong("cuFuncSetAttribute"))?;
                }
                functions.named.insert(kernel.name, function);
            }
        }
        Ok(functions)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Errors while everything ends have nobody to go to.
        // SAFETY: nothing uses any of these after this.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            let _ = result::free_sync(self.arena);
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// Kernels by name, and what their machine code looks like.
#[derive(Debug, Default)]
pub(super) struct Functions {
    named: BTreeMap<&'static str, sys::CUfunction>,
    pub(super) notes: String,
}

impl Functions {
    pub(super) fn get(&self, name: &str) -> Result<sys::CUfunction, BenchError> {
        let missing = || BenchError::Unsupported(format!("no kernel {name}"));
        self.named.get(name).copied().ok_or_else(missing)
    }
}

/// A graph that is ready to run.
#[derive(Debug)]
pub(super) struct Graph {
    executable: sys::CUgraphExec,
    /// Its nodes.
    pub(super) nodes: u64,
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nothing uses it after this.
        let _ = unsafe { result::graph::exec_destroy(self.executable) };
    }
}

/// An event that keeps time.
#[derive(Debug)]
pub(super) struct Event(sys::CUevent);

impl Event {
    pub(super) fn new() -> Result<Self, BenchError> {
        result::event::create(sys::CUevent_flags_enum::CU_EVENT_DEFAULT)
            .map(Event)
            .map_err(wrong("cuEventCreate"))
    }

    pub(super) fn record(&self, context: &Context) -> Result<(), BenchError> {
        // SAFETY: both live.
        unsafe { result::event::record(self.0, context.stream) }.map_err(wrong("cuEventRecord"))
    }

    pub(super) fn wait(&self) -> Result<(), BenchError> {
        // SAFETY: the event lives.
        unsafe { result::event::synchronize(self.0) }.map_err(wrong("cuEventSynchronize"))
    }

    /// Seconds from another event to this one, both over.
    pub(super) fn since(&self, start: &Event) -> Result<f64, BenchError> {
        // SAFETY: both live and were recorded on one stream.
        let ms = unsafe { result::event::elapsed(start.0, self.0) }.map_err(wrong("cuEventElapsedTime"))?;
        Ok(f64::from(ms) * 1e-3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nothing uses it after this.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// 12080 as 12.8.
pub(super) fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}
