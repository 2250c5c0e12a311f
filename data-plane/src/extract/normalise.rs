//! Text as the database and the search want it. Pure.

use unicode_normalization::UnicodeNormalization;

/// Composes characters (NFC), drops control codes (PostgreSQL's text holds no NUL), joins runs of blanks into one and
/// of empty lines into one, and stops before `limit` bytes are exceeded.
pub(super) fn normalise(text: &str, limit: usize) -> String {
    let mut output = String::with_capacity(text.len().min(limit));
    let mut blank = false;
    let mut line_ends = 0;
    for character in text.nfc() {
        match character {
            '\n' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                line_ends += 1;
                continue;
            }
            // Of `\r\n` the line feed stays.
            '\r' => {
                blank = true;
                continue;
            }
            _ if character.is_whitespace() => {
                blank = true;
                continue;
            }
            // Not text: control codes, byte order marks, and the invisible hyphens that would split words in two.
            _ if character.is_control() || matches!(character, '\u{feff}' | '\u{ad}') => continue,
            _ => {}
        }
        let gap = match (output.is_empty(), line_ends, blank) {
            (true, _, _) | (false, 0, false) => "",
            (false, 0, true) => " ",
            (false, 1, _) => "\n",
            (false, _, _) => "\n\n",
        };
        if output.len() + gap.len() + character.len_utf8() > limit {
            break;
        }
        output.push_str(gap);
        output.push(character);
        (blank, line_ends) = (false, 0);
    }
    output
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_and_control_codes_go_lines_stay() {
        let check = |input: &str, expected: &str| assert_eq!(normalise(input, 1000), expected, "{input:?}");
        check("  a \t b\u{a0}c  ", "a b c");
        check("a \r\n b\r\n\r\n\r\n\r\nc\n", "a\nb\n\nc");
        check("a\0b\u{1}c\u{7f}", "abc");
        check("e\u{301}t\u{e9}", "\u{e9}t\u{e9}");
        check("Donau\u{ad}dampf", "Donaudampf");
        check("\u{feff}\n\n", "");
    }

    #[test]
    fn the_limit_never_splits_a_character() {
        assert_eq!(normalise("ééé", 3), "é");
        assert_eq!(normalise("a b", 2), "a");
    }

    proptest! {
        #[test]
        fn the_result_is_clean_whatever_comes_in(text in any::<String>(), limit in 0..200_usize) {
            let result = normalise(&text, limit);
            prop_assert!(result.len() <= limit);
            prop_assert!(!result.chars().any(|character| character.is_control() && character != '\n'));
            prop_assert!(!result.contains("  ") && !result.contains("\n\n\n"));
            prop_assert_eq!(result.trim(), &result);
        }

        #[test]
        fn doing_it_twice_changes_nothing(text in any::<String>()) {
            let once = normalise(&text, 10_000);
            prop_assert_eq!(normalise(&once, 10_000), once);
        }
    }
}
