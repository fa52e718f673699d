//! Points in time: unix seconds inside, RFC 3339 outside.

use std::fmt;
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z, between the years 0 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// Why a text or number is no [`Timestamp`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a time as RFC 3339 writes it (2024-01-01T00:00:00Z), or out of range")]
pub struct TimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);

    /// From unix seconds.
    ///
    /// # Errors
    /// [`TimestampError`] outside the years 0 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimestampError> {
        match OffsetDateTime::from_unix_timestamp(seconds) {
            Ok(time) if (0..=9999).contains(&time.year()) => Ok(Timestamp(seconds)),
            _ => Err(TimestampError),
        }
    }

    /// From a clock. One before 1970 or after 9999 reads as 1970: then no signature is in its window.
    #[must_use]
    pub fn of_clock(time: SystemTime) -> Self {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
            .and_then(|seconds| Self::from_unix_seconds(seconds).ok())
            .unwrap_or(Self::UNIX_EPOCH)
    }

    /// Reads RFC 3339 text of any offset; fractions of a second are dropped.
    ///
    /// # Errors
    /// [`TimestampError`].
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        Self::from_unix_seconds(time.unix_timestamp())
    }

    /// In unix seconds.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }
}

/// RFC 3339 in UTC, as the specification writes it: `2024-01-01T00:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_| fmt::Error)?;
        let text = time.format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_specifications_form_is_written() {
        let time = Timestamp::from_unix_seconds(1_704_067_200).unwrap();
        assert_eq!(time.to_string(), "2024-01-01T00:00:00Z");
        assert_eq!(
            Timestamp::parse_rfc3339("2024-01-01T01:00:00+01:00"),
            Ok(time)
        );
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), Err(TimestampError));
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), Err(TimestampError));
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(seconds in 0i64..253_402_300_799) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Ok(time));
        }
    }
}
