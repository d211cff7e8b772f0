// SPDX-License-Identifier: GPL-2.0

//! Rules and requests of the policy workload. Also compiled by `qemu/bound`.

/// Size of a request in bytes: source address, port, protocol, and the rest of a small header.
pub(crate) const REQUEST: usize = 16;

/// Rule: a network with its mask, a range of ports, and the answer.
struct Rule {
    network: u32,
    mask: u32,
    ports: (u16, u16),
    allow: bool,
}

const fn rule(network: u32, bits: u32, ports: (u16, u16), allow: bool) -> Rule {
    Rule { network, mask: u32::MAX << (32 - bits), ports, allow }
}

/// Rules; the first one that matches decides.
const RULES: [Rule; 8] = [
    rule(0x0a00_0000, 8, (22, 22), true),
    rule(0x0a01_0000, 16, (5432, 5432), true),
    rule(0x0a00_0000, 8, (1, 1023), false),
    rule(0xc0a8_0000, 16, (80, 443), true),
    rule(0xc0a8_0100, 24, (8000, 8999), true),
    rule(0xac10_0000, 12, (1024, 65535), true),
    rule(0x7f00_0000, 8, (1, 65535), true),
    rule(0x0800_0000, 5, (443, 443), true),
];

pub(crate) fn is_allowed(request: &[u8; REQUEST]) -> bool {
    let [a, b, c, d, high, low, ..] = *request;
    let (address, port) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low]));
    RULES
        .iter()
        .find(|rule| address & rule.mask == rule.network && (rule.ports.0..=rule.ports.1).contains(&port))
        .is_some_and(|rule| rule.allow)
}

/// Makes the next request, so that all rules are matched from time to time.
pub(crate) fn next(request: &mut [u8; REQUEST], state: &mut u32) {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    let networks = [0x0a01_0000_u32, 0xc0a8_0100, 0xac10_0000, 0x0808_0000];
    let network = networks.get((*state >> 30) as usize).copied().unwrap_or_default();
    let [a, b, c, d] = (network | ((*state >> 16) & 0xff)).to_be_bytes();
    let [high, low] = (*state as u16 & 0x3fff).to_be_bytes();
    for (place, byte) in request.iter_mut().zip([a, b, c, d, high, low]) {
        *place = byte;
    }
}
