//! Amounts of money, exactly: whole florins (10⁻⁸ FLOP), never a binary float.

use std::fmt;

/// Florins in one FLOP.
pub const FLORINS_PER_FLOP: i64 = 100_000_000;

/// The largest amount one output or one transaction may carry, in florins (10 000 000 000 FLOP).
pub const MAX_MONEY: i64 = 10_000_000_000 * FLORINS_PER_FLOP;

/// Digits after the point in every amount that Core writes.
const DECIMALS: i64 = 8;

/// A signed amount in florins, as Core keeps it (`CAmount`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Florins(i64);

/// Why a text is no amount that a request may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number of whole florins, or not below [`MAX_MONEY`] in size.
    #[error("Invalid amount")]
    Invalid,
    /// A number, but below zero.
    #[error("Amount out of range")]
    OutOfRange,
}

impl Florins {
    /// Nothing.
    pub const ZERO: Florins = Florins(0);

    /// An amount of so many florins.
    #[must_use]
    pub const fn new(florins: i64) -> Self {
        Florins(florins)
    }

    /// An amount of so many whole FLOP.
    #[must_use]
    pub const fn flop(flop: i64) -> Self {
        Florins(flop.saturating_mul(FLORINS_PER_FLOP))
    }

    /// The number of florins.
    #[must_use]
    pub const fn florins(self) -> i64 {
        self.0
    }

    /// Whether this is an amount that may stand in a transaction: zero up to [`MAX_MONEY`].
    #[must_use]
    pub const fn in_range(self) -> bool {
        self.0 >= 0 && self.0 <= MAX_MONEY
    }

    /// The value of an output. Values beyond 63 bits, which only a hand-made transaction has,
    /// come back as a negative amount and so fail [`Florins::in_range`], as in Core.
    #[must_use]
    pub fn of_output(output: &bitcoin::TxOut) -> Self {
        Florins(output.value.to_sat().cast_signed())
    }

    /// The same amount in the type that outputs use; `None` when it is negative.
    #[must_use]
    pub fn to_output_value(self) -> Option<bitcoin::Amount> {
        u64::try_from(self.0).ok().map(bitcoin::Amount::from_sat)
    }

    /// The sum, or `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Florins)
    }

    /// The difference, or `None` on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Florins)
    }

    /// The sum, stopping at the ends of the range: for totals that are only shown.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Florins(self.0.saturating_add(other.0))
    }

    /// The difference, stopping at the ends of the range: for totals that are only shown.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Florins(self.0.saturating_sub(other.0))
    }

    /// The same size with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Florins(self.0.saturating_neg())
    }

    /// Reads an amount in a request: the grammar of a JSON number, in text or as a number token.
    ///
    /// # Errors
    /// [`AmountError::Invalid`] for anything that is not a whole number of florins below 10¹⁰ FLOP,
    /// [`AmountError::OutOfRange`] below zero.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let amount = parse_fixed_point(text).ok_or(AmountError::Invalid)?;
        if amount < 0 {
            return Err(AmountError::OutOfRange);
        }
        Ok(Florins(amount))
    }

    /// The form used inside error texts: trailing zeros cut, but at least two decimals.
    #[must_use]
    pub fn to_trimmed(self) -> String {
        let mut text = self.to_string();
        let shortest = text.len().saturating_sub(6);
        while text.len() > shortest && text.ends_with('0') {
            text.pop();
        }
        text
    }
}

impl fmt::Display for Florins {
    /// Core's format: the whole part, a point and exactly eight digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        let unit = FLORINS_PER_FLOP.unsigned_abs();
        write!(formatter, "{sign}{}.{:08}", size / unit, size % unit)
    }
}

impl std::iter::Sum for Florins {
    fn sum<I: Iterator<Item = Florins>>(amounts: I) -> Self {
        amounts.fold(Florins::ZERO, Florins::plus)
    }
}

/// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?` to florins, when that is a whole number below 10¹⁸.
fn parse_fixed_point(text: &str) -> Option<i64> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    if fraction.is_some_and(|digits| !is_digits(digits)) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let exponent = exponent.map_or(Some(0), parse_exponent)?;

    let mut digits: String = [whole, fraction].concat();
    let mut power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(DECIMALS)?;
    while digits.ends_with('0') {
        digits.pop();
        power = power.checked_add(1)?;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let length = i64::try_from(digits.len()).ok()?;
    if power < 0 || length.checked_add(power)? > 18 {
        return None;
    }
    let scale = 10_i64.checked_pow(u32::try_from(power).ok()?)?;
    let size = digits.parse::<i64>().ok()?.checked_mul(scale)?;
    Some(if negative { -size } else { size })
}

/// A signed exponent, small enough to be added to.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if !is_digits(digits) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.len() > 9 {
        return None;
    }
    let size = if significant.is_empty() {
        0
    } else {
        significant.parse::<i64>().ok()?
    };
    Some(if negative { -size } else { size })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_core_accepts() {
        for (text, florins) in [
            ("1", 100_000_000),
            ("1.5", 150_000_000),
            ("1e-8", 1),
            ("1E-8", 1),
            ("1e2", 10_000_000_000),
            ("1e+2", 10_000_000_000),
            ("1.500000000", 150_000_000),
            ("0.123456780", 12_345_678),
            ("9999999999.99999999", 999_999_999_999_999_999),
            ("95749968.49424000", 9_574_996_849_424_000),
            ("-0", 0),
            ("0e-20", 0),
        ] {
            assert_eq!(Florins::parse(text), Ok(Florins(florins)), "{text}");
        }
    }

    #[test]
    fn refuses_what_core_refuses() {
        for text in [
            "",
            " 1",
            "1 ",
            "+1",
            ".5",
            "1.",
            "1,5",
            "01",
            "NaN",
            "0x10",
            "1\0",
            "0.000000001",
            "1.123456789",
            "1e-9",
            "10000000000",
            "1e400",
            "--1",
            "1e",
            "1e+",
            "e1",
            "1.e1",
            "-",
        ] {
            assert_eq!(Florins::parse(text), Err(AmountError::Invalid), "{text:?}");
        }
        assert_eq!(Florins::parse("-1"), Err(AmountError::OutOfRange));
    }

    #[test]
    fn trims_to_two_decimals() {
        assert_eq!(Florins(636_000).to_trimmed(), "0.00636");
        assert_eq!(Florins::flop(100).to_trimmed(), "100.00");
        assert_eq!(Florins(1).to_trimmed(), "0.00000001");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(florins in 0..MAX_MONEY) {
            let amount = Florins(florins);
            prop_assert_eq!(Florins::parse(&amount.to_string()), Ok(amount));
            prop_assert_eq!(Florins::parse(&amount.to_trimmed()), Ok(amount));
        }

        #[test]
        fn exponents_only_move_the_point(florins in 0..MAX_MONEY) {
            prop_assert_eq!(Florins::parse(&format!("{florins}e-8")), Ok(Florins(florins)));
        }

        #[test]
        fn never_panics(text in "[-+0-9.eE]{0,24}") {
            let _ = Florins::parse(&text);
        }
    }
}
