//! The clients of the clouds.

use std::sync::Arc;

use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig, prefix::PrefixStore};
use url::Url;

use crate::{error::OpenError, location::Cloud};

/// The store at the URL, with names relative to its folder.
pub(crate) fn open(cloud: Cloud, url: &Url, settings: &[(String, String)]) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let refused =
        |error: object_store::Error| OpenError::Client { location: url.to_string(), reason: error.to_string() };
    let store = build(cloud, url, settings)
        .ok_or_else(|| OpenError::Feature { location: url.to_string(), feature: cloud.feature() })?
        .map_err(refused)?;
    let (_, folder) = ObjectStoreScheme::parse(url).map_err(|error| refused(error.into()))?;
    if folder.as_ref().is_empty() { Ok(store) } else { Ok(Arc::new(PrefixStore::new(store, folder))) }
}

/// When attempts are made again is decided by the queue.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: std::time::Duration::ZERO }
}

/// Attempts have a timeout that depends on their size, so that of the client is put out of the way.
const TIMEOUT: (&str, &str) = ("timeout", "1 day");

/// A builder with the settings of the environment, and those that were given above them.
macro_rules! configured {
    ($builder:ty, $url:expr, $settings:expr) => {{
        let settings = $settings.iter().map(|(key, value)| (&**key, &**value));
        let mut builder = <$builder>::from_env().with_url($url.as_str()).with_retry(no_retries());
        for (key, value) in std::iter::once(TIMEOUT).chain(settings) {
            builder = match key.to_ascii_lowercase().parse() {
                Ok(key) => builder.with_config(key, value),
                Err(error) => return Some(Err(error)),
            };
        }
        builder
    }};
}

/// The store; `None` where this build lacks it.
fn build(cloud: Cloud, url: &Url, settings: &[(String, String)]) -> Option<object_store::Result<Arc<dyn ObjectStore>>> {
    match cloud {
        #[cfg(feature = "s3")]
        Cloud::S3 => {
            // Objects go one by one, and not every store like S3 can delete several in a request.
            let builder = configured!(object_store::aws::AmazonS3Builder, url, settings).with_disable_bulk_delete(true);
            Some(builder.build().map(|store| Arc::new(store) as _))
        }
        #[cfg(feature = "gcs")]
        Cloud::Gcs => {
            let builder = configured!(object_store::gcp::GoogleCloudStorageBuilder, url, settings);
            Some(builder.build().map(|store| Arc::new(store) as _))
        }
        #[cfg(feature = "azure")]
        Cloud::Azure => {
            let builder = configured!(object_store::azure::MicrosoftAzureBuilder, url, settings);
            Some(builder.build().map(|store| Arc::new(store) as _))
        }
        #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
        _ => None,
    }
}
