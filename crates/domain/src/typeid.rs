//! The TypeID text form of a UUID: a prefix, an underscore and 26 characters of base 32.
//!
//! Source: the TypeID specification, version 0.3.0 (Crockford's alphabet in lower case, most
//! significant bits first, so that ids sort as their UUIDs do).

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters that 128 bits take at five bits each; the first one carries three bits only.
const LENGTH: usize = 26;

/// Writes `uuid` as 26 base-32 characters.
pub(crate) fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..LENGTH)
        .map(|position| {
            let shift = 5 * (LENGTH - 1 - position);
            let digit = (bits >> shift) & 0x1f;
            char::from(ALPHABET[usize::try_from(digit).expect("five bits fit usize")])
        })
        .collect()
}

/// Reads 26 base-32 characters back, or `None` where they are not exactly a UUID's.
pub(crate) fn decode(text: &str) -> Option<Uuid> {
    if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes()
        .try_fold(0u128, |bits, byte| {
            let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
            Some(bits << 5 | digit as u128)
        })
        .map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_the_specification() {
        // `valid.json` of the specification: the row named "valid-uuidv7".
        let uuid: Uuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(encode(uuid), "01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn refuses_what_is_no_uuid() {
        for text in [
            "",
            "01h455vb4pex5vsknk084sn02",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "01H455VB4PEX5VSKNK084SN02Q",
            "01h455vb4pex5vsknk084sn02u",
            "éééééééééééééééééééééééééé",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_comes_back(bits: u128) {
            let uuid = Uuid::from_u128(bits);
            prop_assert_eq!(decode(&encode(uuid)), Some(uuid));
        }

        #[test]
        fn text_sorts_as_the_uuid_does(a: u128, b: u128) {
            prop_assert_eq!(a.cmp(&b), encode(Uuid::from_u128(a)).cmp(&encode(Uuid::from_u128(b))));
        }
    }
}
