//! Where a store is: a path or a URL.

use std::path::{Component, PathBuf};

use url::Url;

use crate::error::OpenError;

/// The place of a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Directory(PathBuf),
    Memory,
    Cloud(Cloud, Url),
}

/// The clouds, each behind the feature of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    S3,
    Gcs,
    Azure,
}

impl Cloud {
    pub(crate) fn feature(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }
}

impl Location {
    /// The location of a text: a URL where it begins with a scheme and a colon, or a path.
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let unknown = || OpenError::Location { location: text.to_owned() };
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        if text.is_empty() {
            return Err(unknown());
        }
        if !scheme.is_some_and(is_scheme) {
            return directory(text, text.into());
        }
        let url = Url::parse(text).map_err(|_| unknown())?;
        match (url.scheme(), url.host_str()) {
            ("file", _) => directory(text, url.to_file_path().map_err(|()| unknown())?),
            ("memory", None) => Ok(Self::Memory),
            ("s3" | "s3a", Some(_)) => Ok(Self::Cloud(Cloud::S3, url)),
            ("gs", Some(_)) => Ok(Self::Cloud(Cloud::Gcs, url)),
            ("az" | "azure" | "abfs" | "abfss", Some(_)) => Ok(Self::Cloud(Cloud::Azure, url)),
            _ => Err(unknown()),
        }
    }
}

/// A directory, but not the root.
fn directory(text: &str, path: PathBuf) -> Result<Location, OpenError> {
    let whole = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let depth = whole.components().fold(0_usize, |depth, part| match part {
        Component::Normal(_) => depth + 1,
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    if depth == 0 { Err(OpenError::Root { location: text.to_owned() }) } else { Ok(Location::Directory(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_url() {
        let path = |path: &str| Location::Directory(path.into());
        for (text, location) in [
            ("/var/lib/log objects", path("/var/lib/log objects")),
            ("objects/of:mine", path("objects/of:mine")),
            ("./s3:x", path("./s3:x")),
            ("file:///var/lib/a%20b", path("/var/lib/a b")),
            ("memory:", Location::Memory),
        ] {
            assert_eq!(Location::parse(text).unwrap(), location);
        }
        for (text, cloud) in [
            ("s3://bucket", Cloud::S3),
            ("s3://bucket/a/b", Cloud::S3),
            ("gs://bucket/a", Cloud::Gcs),
            ("az://container/a", Cloud::Azure),
        ] {
            assert_eq!(Location::parse(text).unwrap(), Location::Cloud(cloud, Url::parse(text).unwrap()));
        }
        for text in ["/", "//", "/.", "/var/..", "file:///", "file:///var/.."] {
            assert!(matches!(Location::parse(text), Err(OpenError::Root { .. })), "{text}");
        }
        for text in ["", "s3:", "s3://", "ftp://host/a", "http://host/a", "file://host/a", "c:\\objects"] {
            assert!(matches!(Location::parse(text), Err(OpenError::Location { .. })), "{text}");
        }
    }
}
