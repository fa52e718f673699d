//! A database with wallets that hold coins of the chain, made by the service itself, of which every
//! server gets a copy.

use native_wallet::Rpc;
use std::sync::Arc;
use tempfile::TempDir;
use tests::{Chain, Host, HostOptions, follow, unsigned_wallet};

/// Wallets of each server's sends: no two servers spend the same coin.
pub const WALLETS_EACH: u64 = 150;
/// Servers at most.
const SERVERS: u64 = 3;
/// Coins of a wallet, so also rows of its history.
pub const COINS: u64 = 20;
/// What each coin is worth.
pub const COIN_FLOP: u64 = 5;
/// Wallets that get their coins in one block: the faucet spends only what is confirmed.
const WALLETS_A_BLOCK: u64 = 10;

pub struct Seed {
    folder: TempDir,
    pub rpc: Rpc,
    /// Who is paid: nobody of ours.
    pub recipient: String,
}

impl Seed {
    pub fn plant(chain: &Chain) -> Seed {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let options = HostOptions::default()
            .variable("auth_mode", "off")
            .folder(&folder);
        let mut host = Host::start(chain, options);
        make_wallets(chain, &host, SERVERS * WALLETS_EACH);
        chain.mine(1);
        follow(host.url());
        assert_eq!(host.stop(), Some(0));
        let copy = tempfile::tempdir().unwrap();
        copy_files(&host.state_dir(), copy.path());
        Seed {
            folder: copy,
            rpc: rpc(chain),
            recipient: chain.foreign_address(),
        }
    }

    /// The same wallets beside another chain.
    pub fn beside(&self, chain: &Chain) -> Seed {
        Seed {
            folder: self.copy(),
            rpc: rpc(chain),
            recipient: self.recipient.clone(),
        }
    }

    /// A state directory of one's own.
    pub fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_files(self.folder.path(), copy.path());
        copy
    }
}

fn rpc(chain: &Chain) -> Rpc {
    Rpc {
        address: chain.address(),
        user: chain.user().to_owned(),
        password: chain.password().to_owned(),
    }
}

/// Makes so many wallets that hold [`COINS`] coins each, not yet confirmed; gives their nodes.
pub fn make_wallets(chain: &Chain, host: &Host, wallets: u64) -> Vec<String> {
    let make = |index| {
        let id = wallet(index);
        let address = unsigned_wallet(host, &id);
        for _ in 0..COINS {
            chain.faucet(&address, &COIN_FLOP.to_string());
        }
        if index % WALLETS_A_BLOCK == 0 {
            chain.mine(1);
        }
        id
    };
    (0..wallets).map(make).collect()
}

/// A wallet's node.
pub fn wallet(index: u64) -> String {
    format!("node-{index}")
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
