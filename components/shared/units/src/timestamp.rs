//! Points in time: unix seconds inside, RFC 3339 outside.

use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 0000-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;
const DAY_SECONDS: i64 = 86_400;

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
        if (FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
            Ok(Timestamp(seconds))
        } else {
            Err(TimestampError)
        }
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
        let (day, second) = (
            self.0.div_euclid(DAY_SECONDS),
            self.0.rem_euclid(DAY_SECONDS),
        );
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Year, month and day of the month, for days since 1970-01-01: Howard Hinnant's
/// `civil_from_days`. The year begins with March, so that the leap day is its last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, date)
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

    #[test]
    fn the_first_and_the_last_second_are_written() {
        let text = |seconds| Timestamp::from_unix_seconds(seconds).map(|time| time.to_string());
        assert_eq!(text(FIRST_SECOND).unwrap(), "0000-01-01T00:00:00Z");
        assert_eq!(text(LAST_SECOND).unwrap(), "9999-12-31T23:59:59Z");
        assert_eq!(text(951_782_400).unwrap(), "2000-02-29T00:00:00Z");
        assert_eq!(text(FIRST_SECOND - 1), Err(TimestampError));
        assert_eq!(text(LAST_SECOND + 1), Err(TimestampError));
    }

    proptest! {
        /// Written here, because the crate's way is 2 kB in every component.
        #[test]
        fn every_time_is_written_as_the_crate_writes_it(seconds in FIRST_SECOND..=LAST_SECOND) {
            let theirs = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let ours = Timestamp::from_unix_seconds(seconds).unwrap().to_string();
            prop_assert_eq!(ours, theirs.format(&Rfc3339).unwrap());
        }

        #[test]
        fn display_and_parse_are_inverse(seconds in 0i64..253_402_300_799) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Ok(time));
        }
    }
}
