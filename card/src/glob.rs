//! Names by pattern.

use std::str::Chars;

/// Whether a name matches a pattern in which `*` stands for anything and `?` for one character.
///
/// Only the last star ever tries again, since what precedes it has matched as early as it could: the
/// steps are no more than the product of the lengths, whatever the pattern.
pub fn matches(glob: &str, name: &str) -> bool {
    let (mut glob, mut name) = (glob.chars(), name.chars());
    // What follows the last star in the pattern, and what it has not taken of the name.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let before = name.clone();
        match (glob.next(), name.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((glob.clone(), before.clone()));
                name = before;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {}
            _ => {
                let Some((behind, left)) = &mut star else { return false };
                if left.next().is_none() {
                    return false;
                }
                (glob, name) = (behind.clone(), left.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in as many steps as it takes.
    fn by_definition(glob: &[char], name: &[char]) -> bool {
        match (glob, name) {
            ([], _) => name.is_empty(),
            (['*', rest @ ..], _) => (0..=name.len()).any(|i| by_definition(rest, &name[i..])),
            ([wanted, rest @ ..], [found, others @ ..]) => {
                (*wanted == '?' || wanted == found) && by_definition(rest, others)
            }
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_glob_means_what_it_is_defined_to_mean(glob in "[aé*?]{0,7}", name in "[aé*]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            prop_assert_eq!(matches(&glob, &name), by_definition(&chars(&glob), &chars(&name)));
        }
    }

    proptest! {
        #[test]
        fn a_glob_without_wildcards_matches_itself_only(name in "[a-zé-]{0,12}", other in "[a-zé-]{0,12}") {
            prop_assert_eq!(matches(&name, &other), name == other);
            let prefixed = format!("{}{}", other, name);
            let glob = format!("*{}", name);
            prop_assert!(matches(&glob, &prefixed));
            prop_assert!(matches("*", &name));
        }
    }

    #[test]
    fn no_pattern_takes_forever() {
        let name = "a".repeat(1000);
        for part in ["*", "*a"] {
            assert!(!matches(&(part.repeat(500) + "b"), &name));
            assert!(matches(&(part.repeat(500) + "*"), &name));
        }
    }
}
