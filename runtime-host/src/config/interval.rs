//! How often something happens: seconds in a template.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::template::Template;
use crate::config::variables::Variables;
use crate::fault::{Faults, Result};

/// The time span that `text`, a number of seconds or a template of one, stands
/// for; none for 0, which means never.
///
/// # Errors
///
/// It does not resolve, is no plain decimal, or is not in `allowed`. The value
/// is told, unless it comes from a secret.
pub fn resolve(
    text: &str,
    variables: &Variables,
    allowed: &RangeInclusive<Duration>,
) -> Result<Option<Duration>> {
    let template = Template::parse(text).map_err(Faults::one)?;
    let value = template.resolve(|name| variables.get(name))?;
    match parse(&value) {
        Some(None) => return Ok(None),
        Some(Some(time)) if allowed.contains(&time) => return Ok(Some(time)),
        _ => {}
    }
    let shown = if template.is_literal() {
        format!("{text:?}")
    } else if template.variables().any(|name| variables.is_secret(name)) {
        format!("the value of {text:?}")
    } else {
        format!("{value:?}, the value of {text:?},")
    };
    Err(Faults::one(format!(
        "{shown} is not allowed: seconds are needed, 0 for never or {} to {}",
        allowed.start().as_secs_f64(),
        allowed.end().as_secs_f64()
    )))
}

/// Reads a plain decimal; `None` in it is zero.
fn parse(text: &str) -> Option<Option<Duration>> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let time = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    // So little that it is rounded to nothing is not zero.
    let zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    Some((!zero).then_some(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::Origin;
    use crate::manifest::Variable;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    fn resolved(value: &str, secret: bool) -> Result<Option<Duration>> {
        let variable = Variable {
            description: None,
            default: None,
            secret,
        };
        let mut variables = Variables::new(IndexMap::from([("v".to_owned(), variable)]));
        variables
            .set(Origin::CommandLine, "v", value.to_owned())
            .unwrap();
        let allowed = Duration::from_millis(50)..=Duration::from_secs(86_400);
        resolve("{{ v }}", &variables, &allowed)
    }

    #[test]
    fn plain_decimals_in_bounds_are_taken() {
        for (text, millis) in [
            ("0.05", 50),
            ("1", 1000),
            ("2.5", 2500),
            ("86400", 86_400_000),
        ] {
            let time = Duration::from_millis(millis);
            assert_eq!(resolved(text, false), Ok(Some(time)), "{text}");
        }
        for never in ["0", "0.0", "00"] {
            assert_eq!(resolved(never, false), Ok(None), "{never}");
        }
        for bad in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "inf",
            "NaN",
            "5s",
            " 5",
            "1.2.3",
            "0.049",
            "86400.1",
            "0.00000000000001",
        ] {
            assert!(resolved(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_value_is_told_unless_it_is_secret() {
        let told = |secret| resolved("often", secret).unwrap_err().to_string();
        assert_eq!(
            told(false),
            "\"often\", the value of \"{{ v }}\", is not allowed: \
             seconds are needed, 0 for never or 0.05 to 86400"
        );
        assert!(!told(true).contains("often"), "{}", told(true));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", digits in "[0-9.]{0,400}") {
            let _ = parse(&text);
            let _ = parse(&digits);
        }
    }
}
