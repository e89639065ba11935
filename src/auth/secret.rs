//! A secret that one side gives and the other shows again, such as the one that resumes a lost connection.

use std::fmt;

/// 128 random bits. Compared in constant time, never shown by `Debug`.
#[derive(Clone)]
pub struct Secret([u8; 16]);

impl Secret {
    /// From bytes of the system's generator, which the caller asks: this module has no randomness of its own.
    pub fn from_random(bytes: [u8; 16]) -> Secret {
        Secret(bytes)
    }

    /// Reads what [`Secret::reveal`] wrote.
    pub fn parse(text: &str) -> Option<Secret> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).filter(|_| !c.is_ascii_uppercase());
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Some(Secret(bytes))
    }

    /// 32 hexadecimal digits, for the one whose secret it is.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_shown_to_nobody_else() {
        let secret = Secret::from_random(std::array::from_fn(|n| n as u8 * 17));
        assert_eq!(Secret::parse(&secret.reveal()), Some(secret.clone()));
        assert_ne!(Secret::parse(&"0".repeat(32)), Some(secret.clone()));
        for bad in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32), &"A".repeat(32), &"é".repeat(16)] {
            assert_eq!(Secret::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
