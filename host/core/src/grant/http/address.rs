//! Addresses that no name may lead to unless a grant names them: this machine, its link, and what tells secrets of it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

const LOOPBACK: &str = "it is this machine itself";
const LINK_LOCAL: &str = "it is link-local";
const METADATA: &str = "it is a metadata service, which hands out the credentials of this machine";
const UNSPECIFIED: &str = "it is unspecified, which is this machine itself";
const MULTICAST: &str = "it is a multicast address";
const BROADCAST: &str = "it is the broadcast address";

/// The ranges that are closed; where one lies within another it comes first.
const CLOSED: [(IpNet, &str); 18] = [
    // Amazon, Google, Azure, OpenStack, Oracle and others.
    (v4(169, 254, 169, 254, 32), METADATA),
    // Amazon: credentials of ECS tasks, and of EKS pods.
    (v4(169, 254, 170, 2, 32), METADATA),
    (v4(169, 254, 170, 23, 32), METADATA),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), METADATA),
    // Google's by IPv6.
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    // Alibaba.
    (v4(100, 100, 100, 200, 32), METADATA),
    // Oracle's older one.
    (v4(192, 0, 0, 192, 32), METADATA),
    // Azure's host agent.
    (v4(168, 63, 129, 16, 32), METADATA),
    (v4(127, 0, 0, 0, 8), LOOPBACK),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),
    // RFC 1122, section 3.2.1.3; Linux takes it for loopback.
    (v4(0, 0, 0, 0, 8), UNSPECIFIED),
    (v6([0; 8], 128), UNSPECIFIED),
    (v4(169, 254, 0, 0, 16), LINK_LOCAL),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
    (v4(224, 0, 0, 0, 4), MULTICAST),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),
    (v4(255, 255, 255, 255, 32), BROADCAST),
];

/// The closed range that an address is in, and why it is closed. An address that carries another one is judged by that;
/// its range is then itself alone.
pub(super) fn closed(address: IpAddr) -> Option<(IpNet, &'static str)> {
    let address = address.to_canonical();
    let own = CLOSED.iter().find(|(range, _)| range.contains(&address)).copied();
    let carried = || match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => {
            let why = carried(v6).into_iter().flatten().find_map(|it| closed(it.into())).map(|(_, why)| why);
            why.map(|why| (IpNet::from(address), why))
        }
    };
    own.or_else(carried)
}

/// Why an address is closed unless a grant names it; none where it is open.
pub fn closed_address(address: IpAddr) -> Option<&'static str> {
    closed(address).map(|(_, why)| why)
}

/// Whether a network, as an operator wrote it, names an address. A closed one it names only if it lies within the closed
/// range: `0.0.0.0/0` does not mean this machine, and `169.254.0.0/16` does not mean the metadata service.
pub(super) fn names(network: &IpNet, address: IpAddr) -> bool {
    let address = address.to_canonical();
    network.contains(&address) && closed(address).is_none_or(|(range, _)| range.contains(network))
}

/// Why a network in `Addresses` would open nothing; none where it opens something.
pub fn opens_nothing(network: &IpNet) -> Option<String> {
    if closed(network.addr()).is_some_and(|(range, _)| range.contains(network)) {
        return None;
    }
    let within = CLOSED.iter().filter(|(range, _)| network.contains(range)).map(|(range, _)| range.to_string());
    let within: Vec<String> = within.take(3).collect();
    Some(match within.as_slice() {
        [] => {
            format!("{network} is open to names as it is; only loopback, link-local and metadata addresses are closed")
        }
        some => {
            format!("{network} is too wide to open what is closed in it; name that itself, such as {}", some.join(", "))
        }
    })
}

/// The IPv4 addresses that an IPv6 address carries.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let octets = address.octets();
    let at = |i: usize| Ipv4Addr::new(octets[i], octets[i + 1], octets[i + 2], octets[i + 3]);
    match address.segments() {
        // IPv4-compatible (RFC 4291, section 2.5.5.1), and IPv4-translated (RFC 2765, section 2.1).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [Some(at(12)), None],
        // NAT64: the well-known prefix (RFC 6052, section 2.1), and the local one (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => [Some(at(12)), None],
        // 6to4 (RFC 3056, section 2).
        [0x2002, ..] => [Some(at(2)), None],
        // Teredo (RFC 4380, section 4): the server, and the client with its bits turned over.
        [0x2001, 0, ..] => [Some(at(4)), Some(Ipv4Addr::from_bits(!at(12).to_bits()))],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(address: &str) -> Option<&'static str> {
        closed_address(address.parse().unwrap_or_else(|_| panic!("{address}")))
    }

    #[test]
    fn what_is_closed() {
        for (address, expected) in [
            ("127.0.0.1", LOOPBACK),
            ("127.255.0.9", LOOPBACK),
            ("::1", LOOPBACK),
            ("0.0.0.0", UNSPECIFIED),
            ("0.1.2.3", UNSPECIFIED),
            ("::", UNSPECIFIED),
            ("169.254.1.1", LINK_LOCAL),
            ("fe80::1", LINK_LOCAL),
            ("febf::1", LINK_LOCAL),
            ("224.0.0.1", MULTICAST),
            ("239.255.255.255", MULTICAST),
            ("ff02::1", MULTICAST),
            ("255.255.255.255", BROADCAST),
            ("169.254.169.254", METADATA),
            ("fd00:ec2::254", METADATA),
            ("100.100.100.200", METADATA),
            ("192.0.0.192", METADATA),
            ("168.63.129.16", METADATA),
            ("::ffff:127.0.0.1", LOOPBACK),
            ("::127.0.0.1", LOOPBACK),
            ("::ffff:0:127.0.0.1", LOOPBACK),
            ("::ffff:169.254.169.254", METADATA),
            ("2002:7f00:1::", LOOPBACK),
            ("2002:a9fe:a9fe::1", METADATA),
            ("64:ff9b::7f00:1", LOOPBACK),
            ("64:ff9b:1::a9fe:a9fe", METADATA),
            // Teredo: by its server, and by its client.
            ("2001:0:7f00:1::", LOOPBACK),
            ("2001:0:808:808::80ff:fffe", LOOPBACK),
            ("2001:0:808:808::5601:5601", METADATA),
        ] {
            assert_eq!(why(address), Some(expected), "{address}");
        }
        for address in [
            "8.8.8.8",
            "10.0.0.1",
            "192.168.1.1",
            "172.17.0.2",
            "100.100.100.201",
            "128.0.0.1",
            "2606:4700::1",
            "fd00::1",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
            "64:ff9b::808:808",
            "2001:0:808:808::f7f7:f7f7",
            "2001:db8::1",
        ] {
            assert_eq!(why(address), None, "{address}");
        }
    }

    #[test]
    fn a_network_names_what_is_closed_only_from_within() {
        for (network, address, named) in [
            ("127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "127.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("169.254.0.0/16", "169.254.1.1", true),
            ("169.254.0.0/16", "169.254.169.254", false),
            ("169.254.169.254/32", "169.254.169.254", true),
            ("fd00::/8", "fd00:ec2::254", false),
            ("fd00::/8", "fd00::1", true),
            ("127.0.0.0/8", "64:ff9b::7f00:1", false),
            ("64:ff9b::7f00:1/128", "64:ff9b::7f00:1", true),
            ("64:ff9b::/96", "64:ff9b::7f00:1", false),
        ] {
            assert_eq!(names(&network.parse().unwrap(), address.parse().unwrap()), named, "{network} {address}");
        }
    }

    #[test]
    fn a_network_that_opens_nothing_is_told_so() {
        let said = |network: &str| opens_nothing(&network.parse().unwrap());
        for network in ["127.0.0.0/8", "127.0.0.1/32", "169.254.169.254/32", "169.254.0.0/16", "fe80::/64", "::1/128"] {
            assert_eq!(said(network), None, "{network}");
        }
        assert!(said("10.0.0.0/8").unwrap().contains("open to names as it is"));
        assert!(said("0.0.0.0/0").unwrap().contains("too wide") && said("fd00::/8").unwrap().contains("fd00:ec2::254"));
    }
}
