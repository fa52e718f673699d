//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use duxnet_api::MAX_PAGE_ENTRIES;
use duxnet_units::{
    Address, Amount, Capability, IdempotencyKey, Network, NodeId, NodeStatus, Share, Timestamp,
    WalletName,
};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
First steps, against a service started with `runtime-host up --devnet`:
  duxwallet keygen --node-id node_001
  duxwallet node register
  duxwallet wallet create
  duxwallet devnet faucet 100
  duxwallet wallet balance

Exit codes:
  0  done
  1  the service refused; the line `error: <message> (<detail>) [<code>]` says why
  2  the command line or the key file is at fault; nothing was sent
  3  the service cannot be reached; nothing was done
  4  the outcome is not known; repeat with the idempotency key that is printed

Results go to standard output, errors and notes to standard error.";

/// The client of the DuxNet wallet service.
#[derive(Parser, Debug)]
#[command(name = "duxwallet", version, about, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    /// For every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The service
    #[arg(
        long,
        global = true,
        env = "DUXWALLET_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000"
    )]
    pub url: String,
    /// The node's key file [default: ~/.config/duxnet/key.json]
    #[arg(long, global = true, env = "DUXWALLET_KEY", value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// The service's network, which every signature names [default: regtest for a service on this machine, else main]
    #[arg(long, global = true, env = "DUXWALLET_NETWORK", value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// Print the service's JSON as it came, a refusal's too
    #[arg(long, global = true)]
    pub json: bool,
    /// Seconds to wait for one answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub timeout: u16,
    /// How often a request that changes something is made again after a failure that may pass
    #[arg(long, global = true, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=20))]
    pub retries: u8,
}

/// A network by name.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkName {
    /// Real money
    Main,
    /// The public test network
    Test,
    /// A private chain, the devnet's
    Regtest,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::Main => Network::Main,
            NetworkName::Test => Network::Test,
            NetworkName::Regtest => Network::Regtest,
        }
    }
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a node's key
    Keygen(Keygen),
    /// Register nodes and look them up
    #[command(subcommand)]
    Node(NodeCommand),
    /// The node's own wallet
    #[command(subcommand)]
    Wallet(Box<WalletCommand>),
    /// Have the service tell a server of yours what happens to the wallet
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Show what happened to the wallet, oldest first
    #[command(after_help = "\
Examples:
  duxwallet events
  duxwallet events --after 17 --follow
  duxwallet --json events --follow | jq .type

With --json each event is a line of its own.")]
    Events(Events),
    /// How the service is
    #[command(after_help = "\
Example:
  duxwallet health

Exit code 1 when anything is not ok.")]
    Health,
    /// The development chain: money and blocks for nothing
    Devnet(Devnet),
    /// Sign a request for another HTTP client
    Sign(Sign),
}

/// `keygen`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  duxwallet keygen
  duxwallet keygen --node-id node_001
  duxwallet keygen --node-id node_001 --key ./node_001.json

The file holds the secret in the clear and has mode 0600. Keep a copy: without it the wallet cannot be used.")]
pub struct Keygen {
    /// What the node will be called [default: node- and the start of the public key]
    #[arg(long, value_name = "ID", value_parser = NodeId::parse)]
    pub node_id: Option<NodeId>,
    /// Make a new key although there is one; the old file is kept beside it as PATH.old1
    #[arg(long)]
    pub force: bool,
}

/// `node ...`.
#[derive(Subcommand, Debug)]
pub enum NodeCommand {
    /// Register the node, or change its address or capabilities
    #[command(after_help = "\
Examples:
  duxwallet node register
  duxwallet node register --address 198.51.100.7:9000 --capability compute --capability storage")]
    Register(Register),
    /// Show one node
    #[command(after_help = "Example:\n  duxwallet node show node_001")]
    Show {
        /// The node [default: the key file's]
        #[arg(value_name = "ID", value_parser = NodeId::parse)]
        node_id: Option<NodeId>,
    },
    /// List the registered nodes
    #[command(after_help = "\
Examples:
  duxwallet node list
  duxwallet node list --capability wallet --all
  duxwallet node list --capability gpu --capability storage --any --status online --min-health 80 --min-reputation 50")]
    List(NodeList),
    /// Tell the service that the node is alive, and how it is
    #[command(after_help = "\
Examples:
  duxwallet node heartbeat
  duxwallet node heartbeat --load 0.42 --memory-used 1073741824 --memory-total 4294967296 --uptime 3600 --node-version 2.1.0

Send one well within heartbeat_stale_after (90 s unless the operator set it), or the node is stale.")]
    Heartbeat(Heartbeat),
    /// Show what a node can do, or change it
    #[command(after_help = "\
Examples:
  duxwallet node capabilities
  duxwallet node capabilities node_002
  duxwallet node capabilities --add gpu:nvidia.a100 --add storage
  duxwallet node capabilities --remove storage
  duxwallet node capabilities --set compute --set gpu
  duxwallet node capabilities --clear

The capability wallet comes with a wallet; it is neither declared nor removed.")]
    Capabilities(Capabilities),
    /// Leave the registry
    #[command(after_help = "\
Examples:
  duxwallet node deregister
  duxwallet node deregister --send-to miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE

Refused while the wallet holds anything; with --send-to everything that can be spent, less the fee, is paid
there first. The node id stays the key's: register brings the node and its wallet back.")]
    Deregister {
        /// Where the wallet's money goes
        #[arg(long, value_name = "ADDRESS")]
        send_to: Option<String>,
        /// What makes a repeat the same request.
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// Show how well a node is, and why
    #[command(after_help = "\
Examples:
  duxwallet node health
  duxwallet node health node_002

The score is the sum of weight times value, over 100.")]
    Health {
        /// The node [default: the key file's]
        #[arg(value_name = "ID", value_parser = NodeId::parse)]
        node_id: Option<NodeId>,
    },
    /// Show how far a node is trusted, and why
    #[command(after_help = "\
Examples:
  duxwallet node reputation
  duxwallet node reputation node_002 --limit 5")]
    Reputation {
        /// The node [default: the key file's]
        #[arg(value_name = "ID", value_parser = NodeId::parse)]
        node_id: Option<NodeId>,
        /// Which page of the events.
        #[command(flatten)]
        page: Page,
    },
    /// Hand the node id over to a new key
    #[command(after_help = "\
Example:
  duxwallet node rotate --new-key ./new-key.json

The new key is read from PATH, or made there when PATH does not exist. Old and new key both sign the
change. Afterwards the old key is worthless: use --key PATH, or move the file to the old one's place.
When the outcome is not known, repeat the same command.")]
    Rotate {
        /// The new key's file
        #[arg(long, value_name = "PATH")]
        new_key: PathBuf,
    },
}

/// `node register`.
#[derive(Args, Debug)]
pub struct Register {
    /// Where the node listens for others: host:port or a URL
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// What the node can do; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = Capability::parse)]
    pub capabilities: Vec<Capability>,
    /// What peers may be told of the node's wallet; may be given several times
    #[arg(long, value_name = "WHAT", value_parser = Share::ALL.map(Share::name))]
    pub share: Vec<String>,
}

/// `node heartbeat`.
#[derive(Args, Debug)]
pub struct Heartbeat {
    /// Busy cores, as a decimal
    #[arg(long, value_name = "LOAD")]
    pub load: Option<String>,
    /// Bytes in use
    #[arg(long, value_name = "BYTES")]
    pub memory_used: Option<u64>,
    /// Bytes there are
    #[arg(long, value_name = "BYTES")]
    pub memory_total: Option<u64>,
    /// Seconds since the node started
    #[arg(long, value_name = "SECONDS")]
    pub uptime: Option<u64>,
    /// Version of the node's program
    #[arg(long, value_name = "TEXT")]
    pub node_version: Option<String>,
}

/// `node capabilities`.
#[derive(Args, Debug)]
#[group(id = "change", multiple = false)]
pub struct Capabilities {
    /// The node to look at [default: the key file's]
    #[arg(value_name = "ID", value_parser = NodeId::parse)]
    pub node_id: Option<NodeId>,
    /// Add this; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Capability::parse)]
    pub add: Vec<Capability>,
    /// Remove this; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Capability::parse)]
    pub remove: Vec<Capability>,
    /// Make this the whole list; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Capability::parse)]
    pub set: Vec<Capability>,
    /// Make the list empty
    #[arg(long)]
    pub clear: bool,
}

/// `node list`.
#[derive(Args, Debug)]
pub struct NodeList {
    /// Only nodes that can do this; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = Capability::parse)]
    pub capabilities: Vec<Capability>,
    /// One of the capabilities is enough
    #[arg(long, requires = "capabilities")]
    pub any: bool,
    /// Only nodes of this status [default: all but deregistered]
    #[arg(long, value_name = "STATUS", value_parser = NodeStatus::ALL.map(NodeStatus::name))]
    pub status: Option<String>,
    /// Only nodes of at least this health
    #[arg(long, value_name = "0..100", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub min_health: Option<u32>,
    /// Only nodes of at least this reputation
    #[arg(long, value_name = "0..100", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub min_reputation: Option<u32>,
    /// Which page.
    #[command(flatten)]
    pub page: Page,
}

/// A list's page.
#[derive(Args, Debug)]
pub struct Page {
    /// Entries of a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE_ENTRIES)))]
    pub limit: Option<u32>,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// All pages; with --json one line for each
    #[arg(long)]
    pub all: bool,
}

/// A key that makes a repeat the same request.
#[derive(Args, Debug)]
pub struct Idempotency {
    /// What makes a repeat the same request [default: a new random one]
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// `wallet ...`.
#[derive(Subcommand, Debug)]
pub enum WalletCommand {
    /// Make the node's wallet
    #[command(after_help = "\
Examples:
  duxwallet wallet create
  duxwallet wallet create --name savings")]
    Create {
        /// The wallet's name
        #[arg(long, value_name = "NAME", default_value = "my_wallet", value_parser = WalletName::parse)]
        name: WalletName,
        /// What makes a repeat the same request.
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// Show the wallet and its address
    #[command(after_help = "Example:\n  duxwallet wallet info")]
    Info,
    /// Show what the wallet holds
    #[command(after_help = "\
Examples:
  duxwallet wallet balance
  duxwallet --json wallet balance | jq -r .balance_florins

available: can be spent now. confirmed: has enough confirmations. pending: from others, too few
confirmations yet. reserved: taken by payments under way.")]
    Balance,
    /// Pay someone
    #[command(after_help = "\
Examples:
  duxwallet wallet send miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE 12.5
  duxwallet wallet send miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE 12.5 --idempotency-key invoice-4711 --wait

The fee comes on top. A payment with the same idempotency key is made once, however often it is asked for;
the client itself asks again after a time-out, with the same key. With --json and --wait the second line is
the payment's entry in the history.")]
    Send(Send),
    /// List payments and receipts, newest first
    #[command(after_help = "\
Examples:
  duxwallet wallet history
  duxwallet wallet history --type send --status pending
  duxwallet wallet history --since 2024-01-01 --until 2024-02-01 --all")]
    History(History),
    /// Say whom the wallet may pay
    #[command(subcommand)]
    Recipients(RecipientsCommand),
    /// Make another address for the wallet
    #[command(after_help = "Example:\n  duxwallet wallet new-address")]
    NewAddress(Idempotency),
}

/// `wallet recipients ...`.
#[derive(Subcommand, Debug)]
pub enum RecipientsCommand {
    /// Show the rules, and what of them is pending
    #[command(after_help = "Example:\n  duxwallet wallet recipients show")]
    Show,
    /// Allow addresses; while whitelist-only is on this waits for the service's delay
    #[command(
        after_help = "Example:\n  duxwallet wallet recipients allow miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE"
    )]
    Allow {
        /// Whom
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
    },
    /// Never pay these addresses, from now on
    #[command(
        after_help = "Example:\n  duxwallet wallet recipients deny miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE"
    )]
    Deny {
        /// Whom
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
    },
    /// Take addresses off: an allowed one at once, a denied one after the service's delay
    #[command(
        after_help = "Example:\n  duxwallet wallet recipients remove miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE"
    )]
    Remove {
        /// Whom
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
    },
    /// Pay allowed addresses only: on from now, off after the service's delay
    #[command(after_help = "Example:\n  duxwallet wallet recipients whitelist-only on")]
    WhitelistOnly {
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        state: String,
    },
}

/// `wallet send`.
#[derive(Args, Debug)]
pub struct Send {
    /// Whom to pay
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// How much, in FLOP, at most 8 decimals
    #[arg(value_name = "AMOUNT", value_parser = positive_amount)]
    pub amount: Amount,
    /// What makes a repeat the same request.
    #[command(flatten)]
    pub idempotency: Idempotency,
    /// Wait until the payment is confirmed
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 1800,
        requires = "wait"
    )]
    pub wait_timeout: u32,
}

/// `wallet history`.
#[derive(Args, Debug)]
pub struct History {
    /// Which page.
    #[command(flatten)]
    pub page: Page,
    /// Only payments or only receipts
    #[arg(long = "type", value_name = "TYPE", value_parser = duxnet_api::request::TRANSACTION_TYPES)]
    pub kind: Option<String>,
    /// Only this status
    #[arg(long, value_name = "STATUS", value_parser = duxnet_api::request::TRANSACTION_STATUSES)]
    pub status: Option<String>,
    /// Not before: 2024-01-31, 2024-01-31T12:00:00Z or unix seconds
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
}

/// `webhook ...`.
#[derive(Subcommand, Debug)]
pub enum WebhookCommand {
    /// Make an endpoint
    #[command(after_help = "\
Examples:
  duxwallet webhook create https://example.com/hook
  duxwallet webhook create https://example.com/hook --event 'payment.*' --event receive.confirmed

Messages are signed with the public key that is printed (Standard Webhooks, v1a).")]
    Create {
        /// Where to: https, a public host
        #[arg(value_name = "URL")]
        endpoint: String,
        /// A type, `payment.*` or `*`; may be given several times [default: everything]
        #[arg(long = "event", value_name = "TYPE")]
        event_types: Vec<String>,
        /// What makes a repeat the same request.
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// List the endpoints
    #[command(after_help = "Example:\n  duxwallet webhook list")]
    List,
    /// Show an endpoint and what was last sent to it
    #[command(after_help = "Example:\n  duxwallet webhook show wh_0123456789abcdef01234567")]
    Show(WebhookId),
    /// Delete an endpoint
    #[command(after_help = "Example:\n  duxwallet webhook delete wh_0123456789abcdef01234567")]
    Delete(WebhookId),
    /// Tell an endpoint nothing for a while
    #[command(after_help = "Example:\n  duxwallet webhook pause wh_0123456789abcdef01234567")]
    Pause(WebhookId),
    /// Enable an endpoint again, whatever it was disabled for
    #[command(after_help = "Example:\n  duxwallet webhook resume wh_0123456789abcdef01234567")]
    Resume(WebhookId),
    /// Send an endpoint a test message
    #[command(after_help = "Example:\n  duxwallet webhook test wh_0123456789abcdef01234567")]
    Test(WebhookId),
    /// Give an endpoint another key; the one before signs for another day
    #[command(after_help = "Example:\n  duxwallet webhook rotate wh_0123456789abcdef01234567")]
    Rotate {
        /// Which.
        #[command(flatten)]
        webhook: WebhookId,
        /// What makes a repeat the same request.
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// Tell an endpoint again
    #[command(
        after_help = "Example:\n  duxwallet webhook replay wh_0123456789abcdef01234567 --from 17"
    )]
    Replay {
        /// Which.
        #[command(flatten)]
        webhook: WebhookId,
        /// The sequence number of the first event
        #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(i64).range(1..))]
        from: i64,
    },
}

/// An endpoint.
#[derive(Args, Debug)]
pub struct WebhookId {
    /// The endpoint, as `webhook list` shows it
    #[arg(value_name = "ID", value_parser = webhook_id)]
    pub id: String,
}

/// What a path may have.
fn webhook_id(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_id
        .then(|| text.to_owned())
        .ok_or_else(|| "an id has letters, digits and _ only".to_owned())
}

/// `events`.
#[derive(Args, Debug)]
pub struct Events {
    /// Only what comes after this sequence number
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub after: i64,
    /// Go on as things happen
    #[arg(long)]
    pub follow: bool,
}

/// `devnet ...`.
#[derive(Args, Debug)]
pub struct Devnet {
    /// The devnet's JSON-RPC, with user and password
    #[arg(
        long,
        global = true,
        env = "DUXWALLET_RPC_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://devnet:devnet@127.0.0.1:18332"
    )]
    pub rpc_url: String,
    /// What to do.
    #[command(subcommand)]
    pub command: DevnetCommand,
}

/// What the devnet does.
#[derive(Subcommand, Debug)]
pub enum DevnetCommand {
    /// Get money from the faucet
    #[command(after_help = "\
Examples:
  duxwallet devnet faucet 100
  duxwallet devnet faucet 0.5 --to miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE")]
    Faucet {
        /// How much, in FLOP
        #[arg(value_name = "AMOUNT", value_parser = positive_amount)]
        amount: Amount,
        /// To whom [default: the own wallet]
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
    },
    /// Mine blocks
    #[command(after_help = "\
Examples:
  duxwallet devnet mine
  duxwallet devnet mine 6")]
    Mine {
        /// How many
        #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        blocks: u32,
    },
}

/// `sign`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  duxwallet sign GET /wallet/node_001/balance
  duxwallet sign GET /wallet/node_001 | curl -H @- http://127.0.0.1:8000/wallet/node_001
  duxwallet sign POST /wallet/node_001/send --body @payment.json --curl

A signature is good for one request within two minutes.")]
pub struct Sign {
    /// The request's method
    #[arg(value_name = "METHOD", value_parser = method)]
    pub method: String,
    /// Path and query, exactly as they will be sent
    #[arg(value_name = "TARGET", value_parser = target)]
    pub target: String,
    /// The body: text, @FILE, or - for standard input
    #[arg(long, value_name = "BODY")]
    pub body: Option<String>,
    /// Print a whole curl command
    #[arg(long)]
    pub curl: bool,
}

fn positive_amount(text: &str) -> Result<Amount, String> {
    match Amount::from_flop_literal(text) {
        Ok(amount) if amount.is_zero() => Err("must be above zero".to_owned()),
        Ok(amount) => Ok(amount),
        Err(error) => Err(format!("{error}; write FLOP like 50 or 0.00000001")),
    }
}

/// Checks an address against the network before anything is sent.
///
/// # Errors
/// What is wrong with it.
pub fn address(text: &str, network: Network) -> Result<Address, String> {
    Address::parse(text, network)
        .map_err(|error| format!("{text:?} is {error} ({})", network.name()))
}

fn time(text: &str) -> Result<Timestamp, String> {
    let parsed = if text.len() == 10 && text.as_bytes()[4] == b'-' {
        Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))
    } else {
        text.parse().map_or_else(
            |_| Timestamp::parse_rfc3339(text),
            Timestamp::from_unix_seconds,
        )
    };
    parsed.map_err(|error| error.to_string())
}

fn method(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err("must be a method like GET or POST".to_owned());
    }
    Ok(text.to_ascii_uppercase())
}

fn target(text: &str) -> Result<String, String> {
    let whole = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    if !whole || text.contains('#') {
        return Err("must be a path like /wallet/node_001?x=1, as it will be sent".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// Every example of every help text is a command line that parses.
    #[test]
    fn the_examples_parse() {
        let mut seen = 0;
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let help = command.get_after_help().map(ToString::to_string);
            for line in help.unwrap_or_default().lines() {
                let line = line.trim().split(" | ").next().unwrap();
                if line.starts_with("duxwallet ") {
                    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
                    seen += 1;
                }
            }
            if !command.has_subcommands() && command.get_name() != "help" {
                assert!(command.get_after_help().is_some(), "{}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn amounts_and_times_are_read_exactly() {
        assert_eq!(positive_amount("0.00000001").unwrap().florins(), 1);
        for bad in [
            "0",
            "0.0",
            "-1",
            "1,5",
            "0.000000001",
            "",
            "10000000000",
            "NaN",
        ] {
            assert!(positive_amount(bad).is_err(), "{bad}");
        }
        for same in ["2024-01-01", "2024-01-01T00:00:00Z", "1704067200"] {
            assert_eq!(time(same).unwrap().unix_seconds(), 1_704_067_200);
        }
        for bad in ["", "yesterday", "2024-13-01", "2024-01", "äääää"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
