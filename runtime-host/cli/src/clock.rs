//! This machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds; 0 on a clock before 1970, which the service then names as the fault.
#[must_use]
pub fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or(0)
}
