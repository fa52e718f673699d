//! What a devnet is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::network::RPC_PORT;

/// Time between automatic blocks, unless told otherwise.
const BLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// Options of a devnet. On the command line they are long flags; in code start from
/// [`Options::default`].
#[derive(Clone, clap::Args)]
pub struct Options {
    /// Address and port for JSON-RPC; port 0 takes any free one
    #[arg(long = "rpc-listen", value_name = "ADDRESS", default_value_t = default_listen())]
    pub listen: SocketAddr,

    /// User name for JSON-RPC
    #[arg(long = "rpc-user", value_name = "NAME", default_value = "devnet")]
    pub rpc_user: String,

    /// Password for JSON-RPC
    #[arg(
        long = "rpc-password",
        value_name = "PASSWORD",
        default_value = "devnet"
    )]
    pub rpc_password: String,

    /// Time between automatic blocks, like 5s or 500ms; 0 mines on demand only
    #[arg(long = "block-interval", value_name = "TIME", default_value = "5s", value_parser = parse_interval)]
    pub block_interval: Option<Duration>,

    /// Folder that keeps chain and wallet over restarts; without it they are kept in memory
    #[arg(long = "state", value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,

    /// Hand Core's methods to a real regtest node, like <http://user:password@127.0.0.1:18332>
    #[arg(long = "forward", value_name = "URL", conflicts_with = "state_dir")]
    pub forward: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: default_listen(),
            rpc_user: "devnet".to_owned(),
            rpc_password: "devnet".to_owned(),
            block_interval: Some(BLOCK_INTERVAL),
            state_dir: None,
            forward: None,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("listen", &self.listen)
            .field("rpc_user", &self.rpc_user)
            .field("block_interval", &self.block_interval)
            .field("state_dir", &self.state_dir)
            .field("forwards", &self.forward.is_some())
            .finish_non_exhaustive()
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, RPC_PORT))
}

/// `5s`, `500ms`, `0`.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write it like 5s, 500ms or 0");
    let (digits, unit) = text.split_at(
        text.find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "" if number == 0 => Ok(Duration::ZERO),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(parse_interval("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(parse_interval("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_interval("0").unwrap(), Duration::ZERO);
        for text in ["", "5", "s", "1.5s", "-1s", "5m", "5 s"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_has_the_defaults_of_the_code() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            options: Options,
        }
        let parsed = <Program as clap::Parser>::parse_from(["devnet"]).options;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Options::default()));
        assert_eq!(parsed.rpc_password, Options::default().rpc_password);
    }
}
