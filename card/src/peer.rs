//! The other end that `--peer` names.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host, by name or address, and a TCP port of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Peer {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// The longest name that DNS has.
const LONGEST_NAME: usize = 253;

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        let form = || "write HOST:PORT, such as db1.example:5432, 10.0.0.7:22 or [::1]:22";
        if text.contains("://") {
            return Err(format!("a URL names no port to connect to; {}", form()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("no port; {}", form()))?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(address) if is_ipv6(address) => address,
            Some(address) => return Err(format!("'{address}' is no IPv6 address; {}", form())),
            None if host.contains(':') => {
                return Err(format!("an IPv6 address stands in brackets; {}", form()));
            }
            None if is_name(host) => host,
            None => return Err(format!("'{host}' is no host name; {}", form())),
        };
        match port.parse() {
            Ok(port @ 1..) if !port_is_signed(text) => Ok(Peer { host: host.to_owned(), port }),
            _ => Err(format!("'{port}' is no port from 1 to 65535; {}", form())),
        }
    }
}

/// Rust reads "+22" as a number.
fn port_is_signed(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|port| port.starts_with('+'))
}

/// An address, perhaps with the interface that it is reached through: `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "any"));
    address.parse::<Ipv6Addr>().is_ok()
        && !zone.is_empty()
        && zone.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=LONGEST_NAME).contains(&text.len())
        && text.chars().all(letter)
        && !text.starts_with(['-', '.'])
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl TryFrom<String> for Peer {
    type Error = String;

    fn try_from(text: String) -> Result<Peer, String> {
        text.parse()
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> String {
        peer.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let peer = |host: &str, port| Ok(Peer { host: host.into(), port });
        assert_eq!("db1.example:5432".parse(), peer("db1.example", 5432));
        assert_eq!("10.0.0.7:22".parse(), peer("10.0.0.7", 22));
        assert_eq!("[::1]:65535".parse(), peer("::1", 65_535));
        assert_eq!("[fe80::1%eth0]:1".parse(), peer("fe80::1%eth0", 1));
    }

    #[test]
    fn what_is_malformed_says_how() {
        let cases = [
            ("", "no port"),
            ("host", "no port"),
            ("host:", "no port from 1"),
            ("host:0", "no port from 1"),
            ("host:65536", "no port from 1"),
            ("host:ssh", "no port from 1"),
            ("host:+22", "no port from 1"),
            ("host:-1", "no port from 1"),
            (":22", "no host name"),
            ("a b:22", "no host name"),
            ("user@host:22", "no host name"),
            ("-host:22", "no host name"),
            ("::1:22", "brackets"),
            ("[::1:22", "brackets"),
            ("[]:22", "no IPv6 address"),
            ("[10.0.0.7]:22", "no IPv6 address"),
            ("[::1%]:22", "no IPv6 address"),
            ("http://host:80", "URL"),
        ];
        for (text, says) in cases {
            let error = text.parse::<Peer>().unwrap_err();
            assert!(error.contains(says) && error.contains("HOST:PORT"), "{text}: {error}");
        }
        assert!(format!("{}:1", "a".repeat(254)).parse::<Peer>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(host in "[a-z0-9][a-z0-9.-]{0,40}", port in 1..=u16::MAX) {
            let text = format!("{host}:{port}");
            prop_assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }

        #[test]
        fn addresses_survive_the_card(bits: u128, port in 1..=u16::MAX) {
            let peer = Peer { host: Ipv6Addr::from_bits(bits).to_string(), port };
            let text = serde_json::to_string(&peer).unwrap();
            prop_assert_eq!(serde_json::from_str::<Peer>(&text).unwrap(), peer);
        }

        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            if let Ok(peer) = text.parse::<Peer>() {
                prop_assert_eq!(peer.to_string().parse::<Peer>().unwrap(), peer);
            }
        }
    }
}
