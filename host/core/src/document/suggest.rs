//! Did you mean ...?

/// The known name that is nearest to what was written, if any is near: the same but for case, or a third of its letters
/// off at most.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The distance takes quadratic time, and no known name is that long.
    if written.is_empty() || written.len() > 128 {
        return None;
    }
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(lower.chars().count()).div_ceil(3).min(4))
        .filter(|(distance, name)| *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `"a", "b" and "c"`, at most ten.
pub(super) fn listing<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    let mut names: Vec<String> = known.into_iter().map(|name| format!("{name:?}")).collect();
    let more = names.len().saturating_sub(10);
    names.truncate(10);
    match (names.pop(), more) {
        (None, _) => "nothing".into(),
        (Some(last), 0) if names.is_empty() => last,
        (Some(last), 0) => format!("{} and {last}", names.join(", ")),
        (Some(last), more) => format!("{}, {last} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["ID", "Instance", "Flavor", "Allocation", "Updating", "LogicalIDs"];
        for (written, name) in [
            ("Instnace", Some("Instance")),
            ("instance", Some("Instance")),
            ("Flavour", Some("Flavor")),
            ("id", Some("ID")),
            ("LogicalIds", Some("LogicalIDs")),
            ("Update", Some("Updating")),
            ("Colour", None),
            ("X", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), name, "{written}");
        }
    }

    #[test]
    fn names_are_listed_as_a_sentence_lists_them() {
        assert_eq!(listing([]), "nothing");
        assert_eq!(listing(["a"]), "\"a\"");
        assert_eq!(listing(["a", "b", "c"]), "\"a\", \"b\" and \"c\"");
        assert!(listing(["a"; 12]).ends_with("\"a\" and 2 more"));
    }
}
