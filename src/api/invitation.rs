//! What `ninefold serve --lan` tells persons: the address for other devices, and the same as a QR code for their cameras.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// The best address comes first and gets the code; the others are for networks that only they are in.
pub fn text(addresses: &[IpAddr], port: u16) -> String {
    let url = |ip: &IpAddr| format!("https://{}/", SocketAddr::new(*ip, port));
    let Some((first, others)) = addresses.split_first() else {
        return "This machine has no address that another device could reach.\n".to_owned();
    };
    let mut text = format!("\nOn another device in this network, open\n\n    {}\n\n", url(first));
    if let Some(code) = blocks(&url(first)) {
        let _ = writeln!(text, "{code}\n");
    }
    for other in others {
        let _ = writeln!(text, "or  {}", url(other));
    }
    text.push_str("The browser will warn once: the certificate is this server's own. Everybody in this network may join.\n\n");
    text
}

/// Terminals are dark mostly, so what is light in a code is drawn; its quiet zone is part of it.
fn blocks(url: &str) -> Option<String> {
    let code = QrCode::new(url).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_has_a_code() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<IpAddr>>();
        let said = text(&ips(&["192.168.1.7", "2001:db8::7"]), 8443);
        assert!(said.contains("\n    https://192.168.1.7:8443/\n") && said.contains("\nor  https://[2001:db8::7]:8443/\n"), "{said}");
        let code: Vec<&str> = said.lines().filter(|line| line.contains(['█', '▀'])).collect();
        // 25 modules (version 2 holds 32 bytes) and a quiet zone of 4 on each side, two of them to a line.
        assert!(code.iter().all(|line| line.chars().count() == 33), "{said}");
        assert_eq!(code.len(), 17, "{said}");
        assert!(text(&[], 8443).starts_with("This machine has no address"));
    }
}
