//! Products by cuBLASLt: descriptors made once, several of its heuristic's algorithms, what it chose written down.
//!
//! y[m, n] = x[m, k] · Wᵀ with W stored [n, k], all row by row: column by column that is yᵀ = W · xᵀ with W
//! transposed, the form that fp8 needs too. The workspace is fixed, because the heuristic's choice depends on it.

use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::ptr;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::cublaslt::sys::cublasLtMatmulDescAttributes_t as D;
use cudarc::driver::sys::CUdeviceptr;

use super::super::bench::BenchError;
use super::super::work::Format;
use super::context::Context;

/// Bytes of workspace.
pub(super) const WORKSPACE: u64 = 32 << 20;
/// Algorithms that are asked for.
const ASKED: c_int = 8;

/// The library keeps no error: what it cannot do for one shape it may do for the next. A context that is broken shows at
/// the next wait.
fn refused(call: &'static str) -> impl Fn(CublasError) -> BenchError {
    move |error| BenchError::Unsupported(format!("{call}: {error}"))
}

/// The library, and memory that it may use.
#[derive(Debug)]
pub(super) struct Library {
    handle: sys::cublasLtHandle_t,
    workspace: CUdeviceptr,
    /// Scales of fp8 operands: one.
    scale: CUdeviceptr,
}

impl Library {
    /// Opens it; takes workspace out of the arena.
    pub(super) fn open(context: &mut Context) -> Result<Self, BenchError> {
        let handle = result::create_handle().map_err(refused("cublasLtCreate"))?;
        let workspace = context.allocate(WORKSPACE)?;
        let scale = context.allocate(4)?;
        context.upload(scale, &1.0_f32.to_le_bytes())?;
        Ok(Library { handle, workspace, scale })
    }

    pub(super) fn version() -> String {
        // SAFETY: returns a number.
        let number = unsafe { sys::cublasLtGetVersion() };
        format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
    }

    /// Descriptors and algorithms for one shape.
    pub(super) fn product(&self, format: Format, [m, n, k]: [u64; 3]) -> Result<Product, BenchError> {
        let narrow = match format {
            Format::Bf16 => sys::cudaDataType_t::CUDA_R_16BF,
            Format::Fp8 => sys::cudaDataType_t::CUDA_R_8F_E4M3,
        };
        let out = sys::cudaDataType_t::CUDA_R_16BF;
        let layout = |kind, rows: u64, columns: u64| {
            result::create_matrix_layout(kind, rows, columns, rows.cast_signed())
                .map_err(refused("cublasLtMatrixLayoutCreate"))
        };
        let descriptor = result::create_matmul_desc(
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cudaDataType_t::CUDA_R_32F,
        )
        .map_err(refused("cublasLtMatmulDescCreate"))?;
        let mut product = Product {
            handle: self.handle,
            workspace: self.workspace,
            descriptor,
            layouts: Vec::new(),
            algorithms: Vec::new(),
        };
        product.layouts.push(layout(narrow, k, n)?);
        product.layouts.push(layout(narrow, k, m)?);
        product.layouts.push(layout(out, n, m)?);
        // cublasOperation_t: 0 as it is, 1 transposed.
        product.set(D::CUBLASLT_MATMUL_DESC_TRANSA, &1_i32)?;
        product.set(D::CUBLASLT_MATMUL_DESC_TRANSB, &0_i32)?;
        if format == Format::Fp8 {
            // Before the heuristic is asked: it chooses another algorithm without them.
            product.set(D::CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &self.scale)?;
            product.set(D::CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &self.scale)?;
            product.set(D::CUBLASLT_MATMUL_DESC_FAST_ACCUM, &1_i8)?;
        }
        product.algorithms = product.ask()?;
        Ok(product)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: no product outlives the library: both belong to the device.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// One shape.
#[derive(Debug)]
pub(super) struct Product {
    handle: sys::cublasLtHandle_t,
    workspace: CUdeviceptr,
    descriptor: sys::cublasLtMatmulDesc_t,
    layouts: Vec<sys::cublasLtMatrixLayout_t>,
    algorithms: Vec<sys::cublasLtMatmulAlgo_t>,
}

impl Product {
    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<(), BenchError> {
        // SAFETY: the descriptor lives, and the value is of the attribute's type.
        unsafe {
            result::set_matmul_desc_attribute(
                self.descriptor,
                attribute,
                ptr::from_ref(value).cast(),
                size_of::<T>(),
            )
        }
        .map_err(refused("cublasLtMatmulDescSetAttribute"))
    }

    fn ask(&self) -> Result<Vec<sys::cublasLtMatmulAlgo_t>, BenchError> {
        let preference = result::create_matmul_pref().map_err(refused("cublasLtMatmulPreferenceCreate"))?;
        let limit = WORKSPACE as usize;
        let mut found: [std::mem::MaybeUninit<sys::cublasLtMatmulHeuristicResult_t>; ASKED as usize] =
            [const { std::mem::MaybeUninit::uninit() }; ASKED as usize];
        let mut count: c_int = 0;
        // SAFETY: all descriptors live; as many results are written as `count` says, and only those are read.
        let asked = unsafe {
            let set = result::set_matmul_pref_attribute(
                preference,
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                ptr::from_ref(&limit).cast(),
                size_of::<usize>(),
            );
            let asked = set.and_then(|()| {
                sys::cublasLtMatmulAlgoGetHeuristic(
                    self.handle,
                    self.descriptor,
                    self.layouts[0],
                    self.layouts[1],
                    self.layouts[2],
                    self.layouts[2],
                    preference,
                    ASKED,
                    found.as_mut_ptr().cast(),
                    &raw mut count,
                )
                .result()
            });
            result::destroy_matmul_pref(preference).and(asked)
        };
        let unsupported = |why: String| BenchError::Unsupported(format!("cuBLASLt has no algorithm: {why}"));
        asked.map_err(|error| unsupported(error.to_string()))?;
        let good: Vec<_> = found[..count.clamp(0, ASKED) as usize]
            .iter()
            // SAFETY: the library wrote these.
            .map(|result| unsafe { result.assume_init() })
            .filter(|result| result.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS)
            .map(|result| result.algo)
            .collect();
        if good.is_empty() { Err(unsupported("none of its proposals holds".to_owned())) } else { Ok(good) }
    }

    /// Algorithms that the heuristic names.
    pub(super) fn choices(&self) -> usize {
        self.algorithms.len()
    }

    /// Enqueues one product: `w` [n, k], `x` [m, k], `y` [m, n].
    pub(super) fn enqueue(
        &self,
        context: &Context,
        algorithm: usize,
        [w, x, y]: [CUdeviceptr; 3],
    ) -> Result<(), BenchError> {
        let (one, zero) = (1.0_f32, 0.0_f32);
        // SAFETY: operands have the layouts' sizes, the workspace its own; scalars are read before the call returns.
        unsafe {
            result::matmul(
                self.handle,
                self.descriptor,
                ptr::from_ref(&one).cast(),
                ptr::from_ref(&zero).cast(),
                w as *const c_void,
                self.layouts[0],
                x as *const c_void,
                self.layouts[1],
                y as *const c_void,
                self.layouts[2],
                y as *mut c_void,
                self.layouts[2],
                &raw const self.algorithms[algorithm],
                self.workspace as *mut c_void,
                WORKSPACE as usize,
                context.stream.cast(),
            )
        }
        .map_err(refused("cublasLtMatmul"))
    }

    /// What an algorithm is: id, tile, stages, split along k, cluster.
    pub(super) fn describe(&self, algorithm: usize) -> String {
        use sys::cublasLtMatmulAlgoConfigAttributes_t as A;
        let names = [
            ("algorithm", A::CUBLASLT_ALGO_CONFIG_ID),
            ("tile", A::CUBLASLT_ALGO_CONFIG_TILE_ID),
            ("stages", A::CUBLASLT_ALGO_CONFIG_STAGES_ID),
            ("split", A::CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
        ];
        let mut text = String::new();
        for (name, attribute) in names {
            let (mut value, mut written) = (0_i32, 0_usize);
            // SAFETY: these attributes are 32-bit numbers.
            let got = unsafe {
                sys::cublasLtMatmulAlgoConfigGetAttribute(
                    &raw const self.algorithms[algorithm],
                    attribute,
                    (&raw mut value).cast(),
                    size_of::<i32>(),
                    &raw mut written,
                )
            };
            if got.result().is_ok() {
                // Writing into a string cannot fail.
                let _ = write!(text, "{name} {value} ");
            }
        }
        text.trim_end().to_owned()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // Errors while everything ends have nobody to go to.
        // SAFETY: nothing uses these after this.
        unsafe {
            for layout in self.layouts.drain(..) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.descriptor);
        }
    }
}
