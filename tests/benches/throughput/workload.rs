//! What is asked: three reads and a payment.

use crate::seed::{Seed, WALLETS_EACH, wallet};
use std::sync::atomic::{AtomicU64, Ordering};

/// A stride that meets every wallet, and not one after the other.
const STRIDE: u64 = 7919;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Info,
    Balance,
    Transactions,
    Send,
}

pub const ALL: [Workload; 4] = [
    Workload::Info,
    Workload::Balance,
    Workload::Transactions,
    Workload::Send,
];

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::Info => "GET info",
            Workload::Balance => "GET balance",
            Workload::Transactions => "GET transactions (20 rows)",
            Workload::Send => "POST send",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Workload::Info => "",
            Workload::Balance => "/balance",
            Workload::Transactions => "/transactions",
            Workload::Send => "/send",
        }
    }

    /// The request of that number, to the wallets of the server `part`. Each payment has a wallet
    /// that no request at the same time has, as long as there are fewer of these than wallets.
    pub fn request(self, seed: &Seed, part: u64, number: u64) -> Vec<u8> {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let path = self.path();
        match self {
            Workload::Info | Workload::Balance | Workload::Transactions => {
                let id = wallet(part * WALLETS_EACH + number * STRIDE % WALLETS_EACH);
                format!("GET /wallet/{id}{path} HTTP/1.1\r\nhost: wallet\r\n\r\n").into_bytes()
            }
            Workload::Send => {
                // Over all rounds, so that wallets take turns.
                let key = KEYS.fetch_add(1, Ordering::Relaxed);
                let id = wallet(part * WALLETS_EACH + key % WALLETS_EACH);
                let body = format!(
                    r#"{{"recipient_address":"{}","amount":"0.1"}}"#,
                    seed.recipient
                );
                format!(
                    "POST /wallet/{id}{path} HTTP/1.1\r\nhost: wallet\r\n\
                     content-type: application/json\r\nidempotency-key: bench-{key}\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes()
            }
        }
    }
}
