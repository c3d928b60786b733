//! Compression of blocks.

use crate::{
    error::{Error, Result},
    spec::Codec,
};

#[cfg(feature = "lz4")]
const LZ4: u8 = 1;

impl Codec {
    /// Refuses a codec that this build lacks.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Lz4 if !cfg!(feature = "lz4") => Err(Error::Unsupported { codec: "lz4" }),
            _ => Ok(()),
        }
    }
}

/// The codec number of an uncompressed block.
pub(crate) const RAW: u8 = 0;

/// The most bytes that compressing `len` bytes may yield.
pub(crate) fn bound(codec: Codec, len: usize) -> usize {
    match codec {
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4_flex::block::get_maximum_output_size(len),
        _ => len,
    }
}

/// Compresses `raw` into `out`, which has room for its [`bound`]. Returns the codec's number and the compressed length;
/// `None` if it did not shrink.
pub(crate) fn compress(codec: Codec, raw: &[u8], out: &mut [u8]) -> Option<(u8, usize)> {
    match codec {
        #[cfg(feature = "lz4")]
        Codec::Lz4 => {
            let len = lz4_flex::block::compress_into(raw, out).ok()?;
            (len < raw.len()).then_some((LZ4, len))
        }
        _ => {
            let _ = (raw, out);
            None
        }
    }
}

/// Decompresses `stored` into `out`, which has the original length. `Ok(false)` if it does not yield exactly that many
/// bytes.
pub(crate) fn decompress(codec: u8, stored: &[u8], out: &mut [u8]) -> Result<bool> {
    match codec {
        #[cfg(feature = "lz4")]
        LZ4 => Ok(lz4_flex::block::decompress_into(stored, out).is_ok_and(|len| len == out.len())),
        #[cfg(not(feature = "lz4"))]
        1 => Err(Error::Unsupported { codec: "lz4" }),
        _ => {
            let _ = (stored, out);
            Ok(false)
        }
    }
}
