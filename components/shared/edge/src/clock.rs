//! The system's clock.

use duxnet_units::Timestamp;
use duxnet_wallet::Clock;
use std::time::{Duration, SystemTime};

/// The host's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::of_clock(SystemTime::now())
    }

    async fn pause(&self, duration: Duration) {
        spin_sdk::time::sleep(duration).await;
    }
}
