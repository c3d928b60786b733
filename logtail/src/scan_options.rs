//! `ScanOptions`: what a scan gives.

use logboom_logtail_core::scan::{Filter, Projection};

/// What a scan gives: which columns, and of which rows. It is made `from` a [`Projection`] or a [`Filter`] alone.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// The columns. Default: all of the table.
    pub projection: Projection,
    /// The rows. Default: all of them.
    ///
    /// Objects and blocks without such rows are not read, as far as the bounds of their keys, the statistics of their
    /// pages and, where columns of the key are to equal values, their bloom filters tell.
    pub filter: Filter,
}

impl From<Projection> for ScanOptions {
    fn from(projection: Projection) -> Self {
        Self { projection, filter: Filter::default() }
    }
}

impl From<Filter> for ScanOptions {
    fn from(filter: Filter) -> Self {
        Self { projection: Projection::default(), filter }
    }
}
