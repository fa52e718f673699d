//! `--devnet`: the development chain in this process.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use devnet::{Devnet, Options};
use indexmap::IndexMap;

use crate::config::template::Template;
use crate::config::variables::{Origin, Variables};
use crate::fault::{Collector, Faults, Result};
use crate::observe::logging::{self, Format};
use crate::observe::rotate::Rotation;
use crate::server::shutdown::Signals;

/// What the templates of `[application.tool.runtime-host.devnet.variables]` can
/// name.
#[derive(Debug, Clone)]
pub struct Access {
    /// `devnet_host`
    pub host: String,
    /// `devnet_port`
    pub port: String,
    /// `devnet_user`
    pub user: String,
    /// `devnet_password`
    pub password: String,
}

/// Starts the chain, and tells how to reach it.
///
/// # Errors
///
/// It cannot listen, or its saved state is unusable.
pub async fn start(options: Options) -> Result<(Devnet, Access)> {
    let (user, password) = (options.rpc_user.clone(), options.rpc_password.clone());
    let devnet = Devnet::start(options).await.map_err(Faults::one)?;
    let address = devnet.address();
    let host = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let host = match host {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let access = Access {
        host,
        port: address.port().to_string(),
        user,
        password,
    };
    Ok((devnet, access))
}

/// `devnet`: the chain alone, until a signal.
///
/// # Errors
///
/// As [`start`].
pub async fn run(options: Options) -> Result<()> {
    logging::start(None, None, Format::Text, Rotation::NEVER)?;
    let mut signals = Signals::install()?;
    let (devnet, access) = start(options).await?;
    access.print();
    signals.next().await;
    devnet.shutdown().await;
    Ok(())
}

impl Access {
    /// Tells where the chain is; scripts read this line.
    pub fn print(&self) {
        let mut stdout = std::io::stdout().lock();
        // Nobody reads it: that is no reason not to run.
        let _ = writeln!(stdout, "Devnet http://{}:{}", self.host, self.port)
            .and_then(|()| stdout.flush());
    }

    fn value(&self, name: &str) -> Result<&str> {
        match name {
            "devnet_host" => Ok(&self.host),
            "devnet_port" => Ok(&self.port),
            "devnet_user" => Ok(&self.user),
            "devnet_password" => Ok(&self.password),
            _ => Err(Faults::one(format!(
                "unknown variable {name:?}; there are devnet_host, devnet_port, devnet_user \
                 and devnet_password"
            ))),
        }
    }

    /// Sets the variables that `templates` names.
    ///
    /// # Errors
    ///
    /// Every template that is none or names something else.
    pub fn set(
        &self,
        templates: &IndexMap<String, String>,
        variables: &mut Variables,
    ) -> Result<()> {
        let mut faults = Collector::default();
        for (name, template) in templates {
            let value = Template::parse(template)
                .map_err(Faults::one)
                .and_then(|template| template.resolve(|name| self.value(name)))
                .and_then(|value| variables.set(Origin::Devnet, name, value))
                .map_err(|f| {
                    f.prefixed(format!(
                        "application.tool.runtime-host.devnet.variables.{name}: "
                    ))
                });
            faults.keep(value);
        }
        faults.finish()
    }
}
