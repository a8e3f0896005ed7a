//! What is attached to which instance: the same to all, or to each identity its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::bindings::homeostat::plugin::types::{Allocation, Attachment, Error};
use crate::read::{array, invalid, nearest, object, pointer, string, unknown, wrong_type};

/// The key of what is attached to each instance that has no entry of its own, as InfraKit's swarm flavor writes it.
const OTHERS: &str = "*";

/// The `Attachments` of a flavor.
#[derive(Clone, Debug, PartialEq)]
pub enum Attachments {
    /// A list: the same to each instance.
    Each(Vec<Attachment>),
    /// An object: to each logical id its own, which follow it when its instance is replaced; `*` is for the others.
    Keyed(BTreeMap<String, Vec<Attachment>>),
}

impl Default for Attachments {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Attachments {
    /// Read either form; `path` is where it stands.
    pub(crate) fn read(path: &str, value: &Value) -> Result<Self, Error> {
        match value {
            Value::Array(items) => list(path, items).map(Self::Each),
            Value::Object(members) => {
                let keyed = members.iter().map(|(id, value)| {
                    let path = pointer(path, id);
                    let items = array(&path, r#"an array of {"ID", "Type"}"#, value)?;
                    Ok((id.clone(), list(&path, items)?))
                });
                keyed.collect::<Result<_, _>>().map(Self::Keyed)
            }
            other => Err(wrong_type(path, r#"an array of {"ID", "Type"}, or an object of such arrays"#, other)),
        }
    }

    /// Check against the group: each key is one of its logical ids, and no two of them want the same thing.
    pub(crate) fn check(&self, path: &str, allocation: &Allocation) -> Result<(), Error> {
        let Self::Keyed(keyed) = self else { return Ok(()) };
        let mut taken = BTreeMap::new();
        for (id, attachments) in keyed.iter().filter(|(id, _)| *id != OTHERS) {
            let place = pointer(path, id);
            match allocation {
                Allocation::Size(_) => {
                    let message = format!(
                        "`{id}` is no logical id of this group, which has a Size and no LogicalIDs; declare LogicalIDs, or \
                         write `{OTHERS}` for all instances"
                    );
                    return Err(invalid(&place, message));
                }
                Allocation::LogicalIds(ids) if !ids.contains(id) => {
                    let known: Vec<_> = ids.iter().map(String::as_str).collect();
                    let advice = match nearest(id, &known) {
                        Some(nearest) => format!("did you mean `{nearest}`?"),
                        None => format!("add it to LogicalIDs, or take it away here; `{OTHERS}` is for the others"),
                    };
                    return Err(invalid(&place, format!("`{id}` is no logical id of this group; {advice}")));
                }
                Allocation::LogicalIds(_) => {}
            }
            let own: BTreeSet<_> = attachments.iter().map(|it| (&*it.kind, &*it.id)).collect();
            for (kind, what) in own {
                if let Some(first) = taken.insert((kind, what), id) {
                    let message = format!("the {kind} `{what}` is attached to `{first}` already; give `{id}` its own");
                    return Err(invalid(&place, message));
                }
            }
        }
        Ok(())
    }

    /// What to attach to an instance with this identity, or with none.
    pub(crate) fn of(self, logical_id: Option<&str>) -> Vec<Attachment> {
        match self {
            Self::Each(list) => list,
            Self::Keyed(mut keyed) => {
                let own = logical_id.and_then(|id| keyed.remove(id));
                own.or_else(|| keyed.remove(OTHERS)).unwrap_or_default()
            }
        }
    }
}

fn list(path: &str, items: &[Value]) -> Result<Vec<Attachment>, Error> {
    items.iter().enumerate().map(|(i, item)| attachment(&format!("{path}/{i}"), item)).collect()
}

fn attachment(path: &str, value: &Value) -> Result<Attachment, Error> {
    let members = object(path, value)?;
    if let Some(name) = members.keys().find(|name| !["ID", "Type"].contains(&name.as_str())) {
        return Err(unknown(&pointer(path, name), name, &["ID", "Type"]));
    }
    let member = |name: &str| match members.get(name) {
        None => {
            Err(invalid(path, format!("`{name}` is missing: an attachment is {{\"ID\": \"...\", \"Type\": \"...\"}}")))
        }
        Some(value) => match string(&pointer(path, name), value)? {
            text if text.is_empty() => Err(invalid(&pointer(path, name), format!("`{name}` must not be empty"))),
            text => Ok(text),
        },
    };
    Ok(Attachment { id: member("ID")?, kind: member("Type")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Attachments, Error> {
        Attachments::read("/Attachments", &serde_json::from_str(json).unwrap())
    }

    fn pets(ids: &[&str]) -> Allocation {
        Allocation::LogicalIds(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    /// The ids of what is attached to this identity.
    fn of(json: &str, logical_id: Option<&str>) -> Vec<String> {
        read(json).unwrap().of(logical_id).into_iter().map(|it| it.id).collect()
    }

    const KEYED: &str = r#"{
        "a": [{"ID": "vol-a", "Type": "ebs"}, {"ID": "net-a", "Type": "eni"}],
        "b": [],
        "*": [{"ID": "pool", "Type": "nfs"}]
    }"#;

    #[test]
    fn each_identity_gets_its_own_and_the_others_the_star() {
        assert_eq!(of(KEYED, Some("a")), ["vol-a", "net-a"]);
        assert!(of(KEYED, Some("b")).is_empty(), "an entry of its own, if an empty one");
        assert_eq!(of(KEYED, Some("c")), ["pool"]);
        assert_eq!(of(KEYED, None), ["pool"]);
        let without = r#"{"a": [{"ID": "vol-a", "Type": "ebs"}]}"#;
        assert!(of(without, Some("c")).is_empty() && of(without, None).is_empty());
        let list = r#"[{"ID": "pool", "Type": "nfs"}]"#;
        assert_eq!((of(list, Some("a")), of(list, None)), (vec!["pool".to_owned()], vec!["pool".to_owned()]));
    }

    #[test]
    fn keys_are_logical_ids_of_the_group() {
        let check = |json: &str, allocation: &Allocation| read(json).unwrap().check("/Attachments", allocation);
        assert_eq!(check(KEYED, &pets(&["a", "b", "c"])), Ok(()));
        assert_eq!(check("{}", &pets(&["a"])), Ok(()));
        for (json, allocation) in [
            (r#"[{"ID": "x", "Type": "t"}]"#, Allocation::Size(3)),
            (r#"{"*": [{"ID": "x", "Type": "t"}]}"#, Allocation::Size(3)),
            (r#"{"*": [{"ID": "x", "Type": "t"}], "a": [{"ID": "x", "Type": "t"}]}"#, pets(&["a", "b"])),
            (r#"{"a": [{"ID": "x", "Type": "t"}], "b": [{"ID": "x", "Type": "u"}]}"#, pets(&["a", "b"])),
        ] {
            assert_eq!(check(json, &allocation), Ok(()), "{json}");
        }
        let shared = r#"{"a": [{"ID": "x", "Type": "t"}], "b": [{"ID": "x", "Type": "t"}]}"#;
        for (json, allocation, path, says) in [
            (KEYED, pets(&["b", "c"]), "/Attachments/a", "`a` is no logical id of this group"),
            (r#"{"db/1": []}"#, pets(&["db/2"]), "/Attachments/db~11", "did you mean `db/2`?"),
            (KEYED, pets(&[]), "/Attachments/a", "add it to LogicalIDs"),
            (KEYED, Allocation::Size(2), "/Attachments/a", "has a Size and no LogicalIDs"),
            (shared, pets(&["a", "b"]), "/Attachments/b", "the t `x` is attached to `a` already"),
        ] {
            let error = check(json, &allocation).unwrap_err();
            assert_eq!(error.path.as_deref(), Some(path), "{json}");
            assert!(error.message.contains(says), "{}", error.message);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (json, path, says) in [
            (r#""vol""#, "/Attachments", "or an object of such arrays at /Attachments, found a string"),
            (
                r#"{"a": {"ID": "v", "Type": "e"}}"#,
                "/Attachments/a",
                "an array of {\"ID\", \"Type\"} at /Attachments/a",
            ),
            (r#"{"a": [{"ID": "v"}]}"#, "/Attachments/a/0", "`Type` is missing"),
            (r#"{"*": [{"ID": "v", "Type": "e", "Size": 1}]}"#, "/Attachments/*/0/Size", "unknown property `Size`"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!(error.path.as_deref(), Some(path), "{json}");
            assert!(error.message.contains(says), "{}", error.message);
        }
    }
}
