//! Randomness, from the operating system only.

use crate::failure::Failure;

/// `N` random bytes.
///
/// # Errors
/// When the operating system has none to give.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::usage(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

/// 128 random bits in hex: a nonce or an idempotency key.
///
/// # Errors
/// As [`bytes`].
pub fn token() -> Result<String, Failure> {
    Ok(hex::encode(bytes::<16>()?))
}
