//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::hub::Hub;

/// The address that a request is counted to.
pub(super) fn counted_address(req: &HttpRequest, hub: &Hub) -> IpAddr {
    counted_as(address(req, &hub.config().trusted_proxies))
}

/// The caller's address: the peer's, or, of a proxy that is trusted, the last one in
/// `X-Forwarded-For` that is no such proxy's itself.
fn address(req: &HttpRequest, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut address = req.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let named = req.headers().get_all("X-Forwarded-For");
    // What is not text is left in, to end the walk like any other nonsense.
    let named: Vec<_> = named.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    for name in named.iter().rev().flat_map(|value| value.rsplit(',')) {
        address = address.to_canonical();
        if !is_proxy(&address) {
            break;
        }
        // Before what cannot be read nobody knows who has written what.
        let Some(before) = parse(name.trim()) else { break };
        address = before;
    }
    address.to_canonical()
}

/// An address, which some proxies write with a port.
fn parse(name: &str) -> Option<IpAddr> {
    let with_port = |_| name.parse().map(|address: SocketAddr| address.ip());
    name.parse().or_else(with_port).ok()
}

/// Whom an address is counted as: of IPv6 a whole network is one's own (RFC 6177).
fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn address_of(peer: &str, forwarded: &[&str]) -> String {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut req = TestRequest::get().peer_addr(format!("{peer}:1").parse().unwrap());
        for value in forwarded {
            req = req.append_header(("X-Forwarded-For", *value));
        }
        address(&req.to_http_request(), &proxies).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(address_of("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(address_of("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address_of("[fd00::1]", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(address_of("[::ffff:10.0.0.1]", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &["203.0.113.9:1234"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &["[2001:db8::7]:1234"]), "2001:db8::7");
    }

    #[test]
    fn what_a_client_says_of_itself_is_not_believed() {
        assert_eq!(address_of("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(address_of("10.0.0.1", &["", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(address_of("10.0.0.1", &["1.1.1.1", "é"]), "10.0.0.1");
        assert_eq!(address_of("10.0.0.1", &["1.1.1.1, é, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let count = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(count("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(count("192.0.2.1"), "192.0.2.1");
    }
}
