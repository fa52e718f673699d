//! Money: whole florins, exact decimals at the edges.

use std::fmt;

/// Florins in one FLOP (FACTS 2).
const FLORINS_PER_FLOP: u64 = 100_000_000;
/// Decimals of a FLOP.
const DECIMALS: i64 = 8;
/// Longest literal accepted, in bytes; the longest useful one has 19 digits and a point.
const MAX_LITERAL_BYTES: usize = 64;

/// A non-negative sum of money in florins (1 FLOP = 10^8 florins), at most [`Amount::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount(u64);

/// Why a text or number is no [`Amount`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number as JSON writes it.
    #[error("not a decimal number")]
    NotANumber,
    /// Below zero.
    #[error("negative")]
    Negative,
    /// A fraction of a florin.
    #[error("more than 8 decimals")]
    TooPrecise,
    /// At or above MAX_MONEY, 10 000 000 000 FLOP.
    #[error("10000000000 FLOP or more")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// The largest sum: one florin below Core's `MAX_MONEY` of 10^10 FLOP, which Core's own parser
    /// refuses too (FACTS 2).
    pub const MAX: Amount = Amount(10_000_000_000 * FLORINS_PER_FLOP - 1);

    /// From florins.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] above [`Amount::MAX`].
    pub const fn from_florins(florins: u64) -> Result<Self, AmountError> {
        if florins > Self::MAX.0 {
            return Err(AmountError::TooLarge);
        }
        Ok(Amount(florins))
    }

    /// In florins.
    #[must_use]
    pub const fn florins(self) -> u64 {
        self.0
    }

    /// Reads a JSON number literal (or the same text from a JSON string) as an exact decimal of
    /// FLOP: `50`, `50.0`, `1e-8`. No binary float is involved.
    ///
    /// # Errors
    /// Everything JSON's number grammar refuses, negative values (`-0` too), more than 8 decimals
    /// that are not zero, and [`Amount::MAX`] exceeded.
    ///
    /// ```
    /// # use duxnet_units::Amount;
    /// assert_eq!(Amount::from_flop_literal("1e-8").unwrap().florins(), 1);
    /// assert_eq!(Amount::from_flop_literal("150.75").unwrap().to_string(), "150.75");
    /// ```
    pub fn from_flop_literal(text: &str) -> Result<Self, AmountError> {
        if text.len() > MAX_LITERAL_BYTES {
            return Err(AmountError::NotANumber);
        }
        let literal = Literal::parse(text).ok_or(AmountError::NotANumber)?;
        if literal.negative {
            return Err(AmountError::Negative);
        }
        literal.florins().and_then(Amount::from_florins)
    }

    /// The sum, or none above [`Amount::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0
            .checked_add(other.0)
            .and_then(|sum| Amount::from_florins(sum).ok())
    }

    /// The difference, or none below zero.
    #[must_use]
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// The sum of many, or none above [`Amount::MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
        amounts
            .into_iter()
            .try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Writes FLOP as an exact decimal with at least one and at most eight decimals: `50.0`, `150.75`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0 / FLORINS_PER_FLOP;
        let fraction = format!("{:08}", self.0 % FLORINS_PER_FLOP);
        let trimmed = fraction.trim_end_matches('0');
        write!(
            f,
            "{whole}.{}",
            if trimmed.is_empty() { "0" } else { trimmed }
        )
    }
}

/// A number as JSON's grammar has it (RFC 8259 section 6), split into its parts.
struct Literal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Literal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Literal {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// digits x 10^(exponent - decimals + 8), exact or an error.
    fn florins(&self) -> Result<u64, AmountError> {
        let digits = format!("{}{}", self.whole, self.fraction);
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(0);
        }
        let significant = digits.trim_end_matches('0');
        let decimals = self.fraction.len() as i64 - (digits.len() - significant.len()) as i64;
        let power = self.exponent - decimals + DECIMALS;
        if power < 0 {
            return Err(AmountError::TooPrecise);
        }
        let value: u64 = significant.parse().map_err(|_| AmountError::TooLarge)?;
        u32::try_from(power)
            .ok()
            .and_then(|power| 10u64.checked_pow(power))
            .and_then(|factor| value.checked_mul(factor))
            .ok_or(AmountError::TooLarge)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond any useful exponent the exact value no longer matters, only its sign.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(10_000);
    Some(if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn florins(text: &str) -> Result<u64, AmountError> {
        Amount::from_flop_literal(text).map(Amount::florins)
    }

    #[test]
    fn literals_are_read_exactly() {
        assert_eq!(florins("0.00000029"), Ok(29));
        assert_eq!(florins("50.0"), Ok(5_000_000_000));
        assert_eq!(florins("1e-8"), Ok(1));
        assert_eq!(florins("1E-08"), Ok(1));
        assert_eq!(florins("1e+2"), Ok(10_000_000_000));
        assert_eq!(florins("1.500000000"), Ok(150_000_000));
        assert_eq!(florins("95749968.49424000"), Ok(9_574_996_849_424_000));
        assert_eq!(florins("9999999999.99999999"), Ok(Amount::MAX.florins()));
        assert_eq!(florins("0e400"), Ok(0));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "", " 1", "1 ", "+1", ".5", "1.", "1,5", "01", "NaN", "0x10", "1e", "--1", "1\0",
        ] {
            assert_eq!(florins(text), Err(AmountError::NotANumber), "{text:?}");
        }
        assert_eq!(florins("-1"), Err(AmountError::Negative));
        assert_eq!(florins("1e-9"), Err(AmountError::TooPrecise));
        assert_eq!(florins("0.000000001"), Err(AmountError::TooPrecise));
        assert_eq!(florins("10000000000"), Err(AmountError::TooLarge));
        assert_eq!(florins("1e400"), Err(AmountError::TooLarge));
        assert_eq!(
            florins("1e99999999999999999999"),
            Err(AmountError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(florins in 0..=Amount::MAX.florins()) {
            let amount = Amount::from_florins(florins).unwrap();
            prop_assert_eq!(Amount::from_flop_literal(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = Amount::from_flop_literal(&text);
        }

        #[test]
        fn an_exponent_only_moves_the_point(florins in 1..1_000_000_000_000u64, shift in 0usize..8) {
            let plain = Amount::from_florins(florins).unwrap();
            let shifted = format!("{}e-{}", florins, 8);
            prop_assert_eq!(Amount::from_flop_literal(&shifted), Ok(plain));
            let zeros = format!("{}{}e-{}", florins, "0".repeat(shift), 8 + shift);
            prop_assert_eq!(Amount::from_flop_literal(&zeros), Ok(plain));
        }
    }
}
