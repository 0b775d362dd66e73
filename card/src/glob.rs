//! Names by pattern.

/// Whether a name matches a pattern in which `*` stands for anything and `?` for one character.
pub fn matches(glob: &str, name: &str) -> bool {
    let Some(first) = glob.chars().next() else { return name.is_empty() };
    let rest = &glob[first.len_utf8()..];
    match first {
        '*' => (0..=name.len())
            .filter(|&i| name.is_char_boundary(i))
            .any(|i| matches(rest, &name[i..])),
        _ => name
            .chars()
            .next()
            .filter(|&c| first == '?' || first == c)
            .is_some_and(|c| matches(rest, &name[c.len_utf8()..])),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
