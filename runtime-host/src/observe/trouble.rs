//! What fails again and again: the first time is logged, and then one line a
//! minute.

use std::time::{Duration, Instant};

/// How often what goes on failing is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Decides which failures are logged: the first, and then one a minute.
#[derive(Debug, Default)]
pub struct Trouble {
    total: u64,
    unreported: u64,
    reported: Option<Instant>,
}

impl Trouble {
    /// The failures since the last that was logged, if one is to be logged now.
    pub fn another(&mut self, now: Instant) -> Option<u64> {
        self.total += 1;
        self.unreported += 1;
        let recent = self
            .reported
            .is_some_and(|then| now.duration_since(then) < REPORT_INTERVAL);
        if recent {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.unreported))
    }

    /// Whether there was only one so far.
    pub fn is_first(&self) -> bool {
        self.total == 1
    }

    /// How many there were, if there were any.
    pub fn ended(&mut self) -> Option<u64> {
        let total = std::mem::take(self).total;
        (total > 0).then_some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_logged_at_first_and_then_once_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut trouble = Trouble::default();
        assert_eq!(trouble.ended(), None);
        assert_eq!(trouble.another(at(0)), Some(1));
        assert_eq!(trouble.another(at(1)), None);
        assert_eq!(trouble.another(at(59)), None);
        assert_eq!(trouble.another(at(60)), Some(3));
        assert_eq!(trouble.another(at(61)), None);
        assert_eq!(trouble.ended(), Some(5));
        assert_eq!(trouble.ended(), None);
        assert_eq!(trouble.another(at(62)), Some(1), "new trouble");
    }
}
