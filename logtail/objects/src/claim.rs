//! The claim of a store for a log, by its marker.

use std::time::Instant;

use bytes::Bytes;
use logboom_logtail_core::store::{Marker, MarkerError, Retry, RetryPolicy, StoreError, StoreErrorKind, Verdict};

use crate::{
    backend::Backend,
    error::OpenError,
    options::{Access, Options},
};

/// Makes the store the log's, or finds that it is.
///
/// The marker is created where there is none and the log has no objects yet, read back, and compared. Then it is
/// created once more, which must be refused: a store that overwrites would lose objects of two writers without a word.
pub(crate) async fn claim(
    backend: &Backend,
    location: &str,
    marker: &Marker,
    options: &Options,
) -> Result<(), OpenError> {
    let mut claim = Claim { retry: retry(options), start: Instant::now() };
    let name = Marker::name();
    let bytes = Bytes::from(marker.encode());
    let failed = |error| OpenError::Store { location: location.to_owned(), error };
    loop {
        match backend.read_small(&name, Marker::BYTES_MAX, options.access).await {
            Ok(found) => {
                marker.check(&found).map_err(|error| of_marker(location, error))?;
                break;
            }
            Err(error) if error.kind != StoreErrorKind::NotFound => claim.pause(error).await.map_err(failed)?,
            Err(_) if options.access == Access::Read => {
                return Err(OpenError::Absent { location: location.to_owned() });
            }
            Err(_) if options.has_objects => return Err(OpenError::Unmarked { location: location.to_owned() }),
            // Whatever comes of it, the next turn reads what is there.
            Err(_) => match backend.create(&name, &bytes).await {
                Ok(()) => {}
                Err(error) => claim.pause(error).await.map_err(failed)?,
            },
        }
    }
    if options.access == Access::Read {
        return Ok(());
    }
    loop {
        match backend.create(&name, &bytes).await {
            Ok(()) => return Err(OpenError::Overwrites { location: location.to_owned() }),
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => return Ok(()),
            Err(error) => claim.pause(error).await.map_err(failed)?,
        }
    }
}

/// The attempts of an opening.
struct Claim {
    retry: Retry,
    start: Instant,
}

impl Claim {
    /// Waits until the next attempt, or gives up.
    async fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        let now = self.start.elapsed();
        match self.retry.failed(error.kind, now) {
            Verdict::Again(at) => {
                tokio::time::sleep(at.saturating_sub(now)).await;
                Ok(())
            }
            Verdict::GiveUp => Err(error),
        }
    }
}

fn retry(options: &Options) -> Retry {
    let mut policy = RetryPolicy::default();
    policy.patience = Some(options.open_patience);
    Retry::new(policy, fastrand::u64(..))
}

fn of_marker(location: &str, error: MarkerError) -> OpenError {
    let location = location.to_owned();
    match error {
        MarkerError::Foreign { found, expected } => OpenError::Foreign { location, found, expected },
        error => OpenError::Marker { location, error },
    }
}
