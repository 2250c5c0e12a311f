//! Fixed-length base 62 (digits, upper, lower), so that a key has no character that needs escaping.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Writes big-endian `bytes` as `length` digits, padded with zeros on the left.
///
/// # Panics
/// Where `length` digits can't hold the bytes: the lengths are constants of the key format.
pub(crate) fn encode(bytes: &[u8], length: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![0u8; length];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("a remainder under 62 keeps the quotient under 256");
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    assert!(number.iter().all(|&byte| byte == 0), "{length} digits are too few");
    String::from_utf8(digits).expect("the alphabet is ASCII")
}

/// Whether every character is a digit of this alphabet.
pub(crate) fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(encode(&[0], 2), "00");
        assert_eq!(encode(&[61], 2), "0z");
        assert_eq!(encode(&[62], 2), "10");
        assert_eq!(encode(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
        assert_eq!(encode(&[0xff; 32], 43).len(), 43);
    }
}
