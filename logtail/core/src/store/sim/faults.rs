//! The faults of a simulated store, and how often each happens.

use std::time::Duration;

/// A source of decisions: that of a simulated history, from a seed or the bytes of a fuzzer.
pub trait Choices {
    /// A number below `end`; 0 if that is 0. The same source gives the same numbers.
    fn below(&mut self, end: u64) -> u64;

    /// True in `percent` of a hundred cases.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time up to `most`, inclusive.
    fn duration(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX).saturating_add(1)))
    }
}

impl Choices for fastrand::Rng {
    fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.u64(..end) }
    }
}

impl<C: Choices + ?Sized> Choices for &mut C {
    fn below(&mut self, end: u64) -> u64 {
        (**self).below(end)
    }
}

/// How often, in percent of the attempts, which fault happens, and how long things take. Faults that cannot happen to
/// an attempt do not.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Faults {
    /// The store refuses: throttled, or an internal error before it did anything.
    pub refused: u64,
    /// The request does not arrive; the caller's time runs out.
    pub lost_request: u64,
    /// The request is carried out; the caller's time runs out.
    pub lost_answer: u64,
    /// The caller's time runs out, and the request is carried out after that.
    pub late: u64,
    /// The request is carried out twice, by a proxy or a client below that tried again; the answer is one of the two.
    pub repeated: u64,
    /// A put is refused as the name is taken, although nothing landed.
    pub conflict: u64,
    /// The bytes of a get are cut short.
    pub cut: u64,
    /// A listing leaves out names.
    pub short_list: u64,
    /// The longest way to the store, and back.
    pub delay_max: Duration,
    /// When the caller stops waiting for an answer.
    pub timeout: Duration,
    /// How long after that a request can still be carried out.
    pub late_max: Duration,
}

impl Faults {
    /// Each fault in `percent` of the attempts, 12 at most; delays up to 50 ms, timeouts of 5 s.
    pub fn each(percent: u64) -> Self {
        let percent = percent.min(12);
        Self {
            refused: percent,
            lost_request: percent,
            lost_answer: percent,
            late: percent,
            repeated: percent,
            conflict: percent,
            cut: percent,
            short_list: percent,
            delay_max: Duration::from_millis(50),
            timeout: Duration::from_secs(5),
            late_max: Duration::from_secs(60),
        }
    }

    /// The fault of the next attempt.
    pub(super) fn draw(&self, choices: &mut impl Choices) -> Fault {
        let kinds = [
            (self.refused, Fault::Refused),
            (self.lost_request, Fault::LostRequest),
            (self.lost_answer, Fault::LostAnswer),
            (self.late, Fault::Late),
            (self.repeated, Fault::Repeated),
            (self.conflict, Fault::Conflict),
            (self.cut, Fault::Cut),
            (self.short_list, Fault::ShortList),
        ];
        let mut drawn = choices.below(100);
        for (percent, fault) in kinds {
            match drawn.checked_sub(percent) {
                Some(rest) => drawn = rest,
                None => return fault,
            }
        }
        Fault::None
    }
}

/// The fault of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Refused,
    LostRequest,
    LostAnswer,
    Late,
    Repeated,
    Conflict,
    Cut,
    ShortList,
}
