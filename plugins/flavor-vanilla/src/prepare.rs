//! InfraKit's merge rules: Init after what is there, tags over what is there, attachments after what is there.

use crate::bindings::homeostat::plugin::types::InstanceSpec;
use crate::properties::Properties;

/// The spec with what the properties declare merged in.
pub fn prepare(properties: Properties, mut spec: InstanceSpec) -> InstanceSpec {
    if !properties.init.is_empty() {
        if !spec.init.is_empty() {
            spec.init.push('\n');
        }
        spec.init.push_str(&properties.init.join("\n"));
    }
    spec.tags.retain(|(key, _)| properties.tags.iter().all(|(ours, _)| ours != key));
    spec.tags.extend(properties.tags);
    spec.attachments.extend(properties.attachments.of(spec.logical_id.as_deref()));
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::Attachments;
    use crate::bindings::homeostat::plugin::types::Attachment;

    fn attachment(id: &str) -> Attachment {
        Attachment { id: id.into(), kind: "ebs".into() }
    }

    fn spec() -> InstanceSpec {
        InstanceSpec {
            properties: r#"{"Note": "n"}"#.into(),
            tags: vec![("infrakit.group".into(), "g".into()), ("tier".into(), "db".into())],
            init: "first".into(),
            logical_id: Some("pet".into()),
            attachments: vec![attachment("vol0")],
        }
    }

    #[test]
    fn nothing_declared_changes_nothing() {
        assert_eq!(prepare(Properties::default(), spec()), spec());
    }

    #[test]
    fn merges_as_infrakit_did() {
        let properties = Properties {
            init: vec!["second".into(), String::new(), "third".into()],
            tags: vec![("tier".into(), "web".into()), ("new".into(), "1".into())],
            attachments: Attachments::Each(vec![attachment("vol1")]),
        };
        let prepared = prepare(properties.clone(), spec());
        assert_eq!(prepared.init, "first\nsecond\n\nthird");
        let tags = [("infrakit.group", "g"), ("tier", "web"), ("new", "1")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(prepared.tags, tags);
        assert_eq!(prepared.attachments, [attachment("vol0"), attachment("vol1")]);
        assert_eq!((prepared.properties, prepared.logical_id), (spec().properties, spec().logical_id));

        let bare = prepare(properties, InstanceSpec { init: String::new(), ..spec() });
        assert_eq!(bare.init, "second\n\nthird");
    }

    #[test]
    fn what_is_attached_to_an_identity_follows_it() {
        let keyed = [("pet".to_owned(), vec![attachment("vol1")]), ("*".to_owned(), vec![attachment("vol2")])];
        let properties = Properties { attachments: Attachments::Keyed(keyed.into()), ..Properties::default() };
        let prepared = |id: Option<&str>| {
            let spec = InstanceSpec { logical_id: id.map(str::to_owned), ..spec() };
            prepare(properties.clone(), spec).attachments
        };
        for _ in 0..2 {
            assert_eq!(prepared(Some("pet")), [attachment("vol0"), attachment("vol1")]);
        }
        assert_eq!(prepared(Some("another")), [attachment("vol0"), attachment("vol2")]);
        assert_eq!(prepared(None), [attachment("vol0"), attachment("vol2")]);
    }
}
