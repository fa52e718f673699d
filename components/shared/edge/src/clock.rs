//! The system's clock.

use duxnet_units::Timestamp;
use duxnet_wallet::Clock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The host's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 or after 9999 reads as 1970: then no signature is in its window.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
            .and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    async fn pause(&self, duration: Duration) {
        spin_sdk::time::sleep(duration).await;
    }
}
