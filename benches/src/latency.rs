//! `Latencies`: a histogram of latencies with three digits, in fixed memory.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};
use serde::{Deserialize, Deserializer as Source, Serialize, Serializer as Sink, de::Error as _, ser::Error as _};

use crate::Result;

/// How often each latency occurred, in nanoseconds.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(NS_MIN, NS_MAX, DIGITS);
        Latencies(histogram.unwrap_or_else(|error| unreachable!("constant bounds: {error}")))
    }

    /// Adds `count` operations that took `latency`.
    pub fn record(&mut self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(NS_MAX).min(NS_MAX);
        self.0.saturating_record_n(ns, count);
    }

    /// Adds the latencies of `other`.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).unwrap_or_else(|error| unreachable!("bounds are the same: {error}"));
    }

    /// The number of operations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency, in microseconds, that the share `quantile` of the operations did not exceed.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        us(self.0.value_at_quantile(quantile))
    }

    /// The greatest latency, in microseconds.
    pub fn max_us(&self) -> f64 {
        us(self.0.max())
    }

    /// The histogram, in nanoseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies({} of at most {} us)", self.count(), self.max_us())
    }
}

impl Serialize for Latencies {
    fn serialize<S: Sink>(&self, sink: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(S::Error::custom)?;
        sink.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Source<'de>>(source: D) -> Result<Self, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(source)?).map_err(D::Error::custom)?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).map(Latencies).map_err(D::Error::custom)
    }
}

const NS_MIN: u64 = 1;
const NS_MAX: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_way_to_the_parent() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(80), 99);
        latencies.record(Duration::from_millis(3), 1);
        let text = serde_json::to_string(&latencies).unwrap();
        let back: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(back.count(), 100);
        assert_eq!(back.quantile_us(0.5), latencies.quantile_us(0.5));
        assert_eq!(back.max_us(), latencies.max_us());
        assert!((back.quantile_us(0.5) - 80.0).abs() < 0.1, "{}", back.quantile_us(0.5));
    }
}
