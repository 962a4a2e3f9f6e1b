//! Programs on given inputs, for checks of correctness.

use super::Cuda;
use crate::calibrate::bench::BenchError;
use crate::calibrate::kernels::SOURCES;
use crate::calibrate::launch::{LaunchError, Launcher, Program};
use crate::calibrate::work::Format;

impl Launcher for Cuda {
    fn run(
        &mut self,
        program: &Program,
        data: &mut [Vec<u8>],
        flaw: Option<&str>,
    ) -> Result<(), LaunchError> {
        let name = program.launches.first().map_or("nothing", |launch| launch.kernel);
        self.run_on(program, data, flaw)
            .map_err(|error| LaunchError { kernel: name.to_owned(), message: error.to_string() })
    }

    fn product(
        &mut self,
        format: Format,
        shape: [u64; 3],
        w: &[u8],
        x: &[u8],
    ) -> Result<Option<Vec<u8>>, LaunchError> {
        let wrong =
            |error: BenchError| LaunchError { kernel: "cuBLASLt".to_owned(), message: error.to_string() };
        self.product_of(format, shape, w, x).map(Some).map_err(wrong)
    }
}

impl Cuda {
    fn product_of(
        &mut self,
        format: Format,
        shape: [u64; 3],
        w: &[u8],
        x: &[u8],
    ) -> Result<Vec<u8>, BenchError> {
        self.close()?;
        let product = self.gemm.product(format, shape)?;
        let mut out = vec![0; (2 * shape[0] * shape[1]) as usize];
        let mut at = [0; 3];
        for (at, bytes) in at.iter_mut().zip([w.len(), x.len(), out.len()]) {
            *at = self.context.allocate(bytes as u64)?;
        }
        self.context.upload(at[0], w)?;
        self.context.upload(at[1], x)?;
        self.context.set(at[2], 0xff, out.len() as u64)?;
        product.enqueue(&self.context, 0, at)?;
        self.context.download(at[2], &mut out)?;
        Ok(out)
    }

    fn run_on(
        &mut self,
        program: &Program,
        data: &mut [Vec<u8>],
        flaw: Option<&str>,
    ) -> Result<(), BenchError> {
        self.close()?;
        if let Some(flaw) = flaw.filter(|flaw| !self.flawed.contains_key(*flaw)) {
            let sources: Vec<_> = SOURCES.into_iter().filter(|(_, text)| text.contains(flaw)).collect();
            let functions = self.context.kernels(&sources, Some(flaw))?;
            self.flawed.insert(flaw.to_owned(), functions);
        }
        // A planted bug is in one source; the program's other kernels are as they are.
        let flawed = flaw.and_then(|flaw| self.flawed.get(flaw));
        let function = |name: &str| match flawed.and_then(|flawed| flawed.get(name).ok()) {
            Some(function) => Ok(function),
            None => self.functions.get(name),
        };
        let mut addresses = Vec::with_capacity(data.len());
        for bytes in data.iter() {
            let at = self.context.allocate(bytes.len() as u64)?;
            self.context.upload(at, bytes)?;
            addresses.push(at);
        }
        for launch in &program.launches {
            let parameters = launch.parameters(|buffer| addresses[buffer]);
            self.context.launch(function(launch.kernel)?, launch, &parameters)?;
        }
        for (bytes, at) in data.iter_mut().zip(addresses) {
            self.context.download(at, bytes)?;
        }
        Ok(())
    }
}
