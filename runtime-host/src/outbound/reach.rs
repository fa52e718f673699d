//! Which addresses a component may connect to, whatever name they were found
//! under: the guard against requests that a stranger sends into the operator's
//! own networks.

use std::net::SocketAddr;

use public_address::is_public;

use crate::config::template::Template;
use crate::config::variables::Variables;
use crate::fault::{Faults, Result};

/// `private_networks` of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// `allow`, which is so unless the manifest says otherwise.
    Anywhere,
    /// `deny`: only addresses of the public internet.
    Public,
}

impl Reach {
    /// The rule that `text`, a template, stands for.
    ///
    /// # Errors
    ///
    /// It does not resolve, or to another word.
    pub fn resolve(text: Option<&str>, variables: &Variables) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self::Anywhere);
        };
        let here = |f: Faults| f.prefixed("private_networks: ");
        let template = Template::parse(text).map_err(|e| here(Faults::one(e)))?;
        match template
            .resolve(|name| variables.get(name))
            .map_err(here)?
            .as_str()
        {
            "allow" => Ok(Self::Anywhere),
            "deny" => Ok(Self::Public),
            _ => Err(here(Faults::one(format!(
                "{text:?} is neither \"allow\" nor \"deny\""
            )))),
        }
    }

    /// Those of `addresses` that may be connected to.
    pub fn narrow(self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        match self {
            Self::Anywhere => {}
            Self::Public => addresses.retain(|address| is_public(address.ip())),
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::Origin;
    use crate::manifest::Variable;
    use indexmap::IndexMap;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn of_a_name_with_several_addresses_the_private_ones_are_left_out() {
        let found = addresses(&[
            "127.0.0.1:443",
            "93.184.216.34:443",
            "[::1]:443",
            "[::ffff:10.0.0.1]:443",
            "[2606:4700::1111]:443",
            "169.254.169.254:443",
        ]);
        assert_eq!(Reach::Anywhere.narrow(found.clone()), found);
        assert_eq!(
            Reach::Public.narrow(found),
            addresses(&["93.184.216.34:443", "[2606:4700::1111]:443"])
        );
    }

    #[test]
    fn the_setting_is_a_template_of_two_words() {
        let variable = Variable {
            description: None,
            default: None,
            secret: false,
        };
        let mut variables = Variables::new(IndexMap::from([("v".to_owned(), variable)]));
        variables
            .set(Origin::CommandLine, "v", "deny".to_owned())
            .unwrap();
        let resolved = |text| Reach::resolve(text, &variables);
        assert_eq!(resolved(None), Ok(Reach::Anywhere));
        assert_eq!(resolved(Some("allow")), Ok(Reach::Anywhere));
        assert_eq!(resolved(Some("deny")), Ok(Reach::Public));
        assert_eq!(resolved(Some("{{ v }}")), Ok(Reach::Public));
        for bad in ["", "Deny", "no", "{{ unknown }}", "{{ v"] {
            assert!(resolved(Some(bad)).is_err(), "{bad}");
        }
    }
}
