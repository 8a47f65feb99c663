//! Where a member is reached by the others: `a.example:7401`, `10.0.0.3:7401`, `[::1]:7401`.

// How addresses are written, and nothing that goes there.
use core::net::{Ipv4Addr, Ipv6Addr};

/// Longest name of a host, and of one of its labels, in bytes.
pub(super) const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Whether this is `HOST:PORT`, with IPv6 addresses in brackets. Whether the host exists is seen when it is called. The addresses of
/// every interface, 0.0.0.0 and `[::]`, are none: one listens there, and is reached nowhere by them.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    // Rust would read a sign too.
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|it| !it.is_unspecified()),
        None => is_name(host),
    };
    is_port && is_host
}

fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends like an IPv4 address is one.
    let is_number =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && (!is_number || host.parse::<Ipv4Addr>().is_ok_and(|it| !it.is_unspecified()))
}
