//! What was met before: an engine has a dozen weight matrices and one or two kinds of expert layer, and prices each for
//! every batch. Kept without locks; a clone begins anew. Times are the same with and without.

use std::sync::OnceLock;

/// Up to `N` things, kept as they come.
#[derive(Debug)]
pub(super) struct Known<T, const N: usize>([OnceLock<T>; N]);

impl<T, const N: usize> Default for Known<T, N> {
    fn default() -> Self {
        Known([const { OnceLock::new() }; N])
    }
}

impl<T, const N: usize> Clone for Known<T, N> {
    fn clone(&self) -> Self {
        Known::default()
    }
}

impl<T, const N: usize> Known<T, N> {
    /// The one that `is` it, made where it is new; made into `spare` where there is no room for it.
    #[inline]
    pub(super) fn get<'a>(
        &'a self,
        is: impl Fn(&T) -> bool,
        make: impl Fn() -> T,
        spare: &'a mut Option<T>,
    ) -> &'a T {
        let known = self.0.iter().map(|place| place.get_or_init(&make)).find(|known| is(known));
        known.unwrap_or_else(|| spare.insert(make()))
    }
}
