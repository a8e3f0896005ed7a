//! What an instance's file holds.
//!
//! ```json
//! {
//!   "Format": "homeostat/instance-file/1",
//!   "ID": "collabnix-1-4kq7",
//!   "CreatedAtMs": 1764000000000,
//!   "Tags": {
//!     "infrakit.group": "collabnix",
//!     "tier": "web"
//!   },
//!   "Init": "docker pull dockercloud/hello-world",
//!   "Properties": {"Note": "Collabnix Infrakit 101"}
//! }
//! ```
//! `LogicalID`, `Attachments` and `TagsAtProvision` are there where they say something.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bindings::homeostat::plugin::types::{Attachment, Error, Instance, InstanceSpec, InstanceState};
use crate::directory::MAX_FILE;
use crate::{fault, properties};

/// What marks a file as an instance of this plugin, and says how to read it.
const FORMAT: &str = "homeostat/instance-file/1";

type Tags = BTreeMap<String, String>;

/// One instance, as it is stored. `Init` and `Properties` are borrowed from the file's text: a listing does not need
/// them, and most of the text is theirs.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    #[serde(rename = "ID", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    logical_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at_ms: Option<u64>,
    tags: Tags,
    /// The tags that `provision` was given, kept once `label` has changed them: a repeated `provision` with the same
    /// spec must still be recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags_at_provision: Option<Tags>,
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    init: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<StoredAttachment>,
    #[serde(borrow)]
    properties: &'a RawValue,
}

#[derive(Debug, Deserialize, Serialize)]
struct StoredAttachment {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Type")]
    kind: String,
}

/// What a file turned out to be, where it is not an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnInstance {
    /// Not JSON to the end: half written, emptied by a power failure, or never JSON. Nothing can be lost with it.
    Torn,
    /// JSON, but not of this plugin; why, for a person. It is somebody's.
    Foreign(String),
}

impl<'a> Record<'a> {
    /// The record of a new instance.
    pub fn new(name: &'a str, spec: &'a InstanceSpec) -> Result<Self, Error> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            format: FORMAT.into(),
            id: name.into(),
            logical_id: spec.logical_id.clone(),
            created_at_ms: u64::try_from(since_epoch.as_millis()).ok(),
            tags: spec.tags.iter().cloned().collect(),
            tags_at_provision: None,
            init: Cow::Borrowed(&spec.init),
            attachments: spec.attachments.iter().map(StoredAttachment::from).collect(),
            properties: properties::check(&spec.properties)?,
        })
    }

    /// Read the file of the instance `name`.
    pub fn parse(name: &str, content: &'a [u8]) -> Result<Self, NotAnInstance> {
        let text = std::str::from_utf8(content).map_err(|_| NotAnInstance::Torn)?;
        let record: Self = serde_json::from_str(text).map_err(|error| {
            // serde stops at the first member that does not suit it, which may be long before the text breaks off.
            match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => NotAnInstance::Foreign(error.to_string()),
                Err(_) => NotAnInstance::Torn,
            }
        })?;
        if record.format != FORMAT {
            return Err(NotAnInstance::Foreign(format!("its Format is `{}`, not `{FORMAT}`", record.format)));
        }
        if record.id != name {
            return Err(NotAnInstance::Foreign(format!("its ID is `{}`, not the file's name", record.id)));
        }
        Ok(record)
    }

    /// The text to store.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| fault::internal(format!("the instance cannot be written as JSON: {error}")))?;
        bytes.push(b'\n');
        if bytes.len() > MAX_FILE {
            let message =
                format!("the instance's file would be {} bytes; at most {MAX_FILE} are read back", bytes.len());
            return Err(fault::invalid("", message));
        }
        Ok(bytes)
    }

    /// Whether `provision` with `spec` would make this instance. What JSON does not tell apart (the order of members,
    /// spaces) makes no difference.
    pub fn is_made_from(&self, spec: &InstanceSpec) -> bool {
        let given = self.tags_at_provision.as_ref().unwrap_or(&self.tags);
        self.init == spec.init
            && self.logical_id == spec.logical_id
            && given.iter().eq(&spec.tags.iter().cloned().collect::<Tags>())
            && self.attachments.iter().map(|a| (&a.id, &a.kind)).eq(spec.attachments.iter().map(|a| (&a.id, &a.kind)))
            && same_json(self.properties.get(), &spec.properties)
    }

    /// Add or overwrite tags. Says whether that changed anything.
    pub fn label(&mut self, tags: &[(String, String)]) -> bool {
        let before = self.tags.clone();
        self.tags.extend(tags.iter().cloned());
        let changed = self.tags != before;
        if changed {
            self.tags_at_provision.get_or_insert(before);
        }
        changed
    }

    /// Whether it carries all of `tags`.
    pub fn carries(&self, tags: &[(String, String)]) -> bool {
        tags.iter().all(|(key, value)| self.tags.get(key) == Some(value))
    }

    /// What `list` says of it.
    pub fn into_instance(self, with_properties: bool) -> Instance {
        Instance {
            id: self.id.clone().into_owned(),
            name: self.id.into_owned(),
            logical_id: self.logical_id,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: self.created_at_ms,
            addresses: Vec::new(),
            tags: self.tags.into_iter().collect(),
            properties: with_properties.then(|| self.properties.get().to_owned()),
        }
    }
}

impl From<&Attachment> for StoredAttachment {
    fn from(given: &Attachment) -> Self {
        Self { id: given.id.clone(), kind: given.kind.clone() }
    }
}

fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<Value>(text).ok();
    a == b || parse(a).is_some_and(|a| parse(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> InstanceSpec {
        InstanceSpec {
            properties: r#"{"Note": "Collabnix Infrakit 101", "n": [1, {"a": null}]}"#.into(),
            tags: vec![("tier".into(), "web".into()), ("infrakit.group".into(), "collabnix".into())],
            init: "#!/bin/sh\necho \"hé\" \u{1F600}".into(),
            logical_id: Some("10.0.0.5".into()),
            attachments: vec![Attachment { id: "vol1".into(), kind: "ebs".into() }],
        }
    }

    fn bytes(name: &str, spec: &InstanceSpec) -> Vec<u8> {
        Record::new(name, spec).unwrap().to_bytes().unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let spec = spec();
        let bytes = bytes("web-1", &spec);
        let record = Record::parse("web-1", &bytes).unwrap();
        assert!(record.is_made_from(&spec));
        let instance = record.into_instance(true);
        assert_eq!(
            (&*instance.id, &*instance.name, instance.logical_id.as_deref()),
            ("web-1", "web-1", Some("10.0.0.5"))
        );
        assert_eq!(instance.properties.as_deref(), Some(&*spec.properties));
        assert_eq!(instance.tags, [("infrakit.group".into(), "collabnix".into()), ("tier".into(), "web".into())]);
        assert!(instance.created_at_ms.unwrap() > 1_600_000_000_000);
    }

    #[test]
    fn another_spec_is_told_apart_member_by_member() {
        let same = spec();
        let bytes = bytes("web-1", &same);
        let record = Record::parse("web-1", &bytes).unwrap();
        let differs = |change: fn(&mut InstanceSpec)| {
            let mut other = same.clone();
            change(&mut other);
            !record.is_made_from(&other)
        };
        assert!(differs(|s| s.properties = r#"{"Note": "other"}"#.into()));
        assert!(differs(|s| s.tags[0].1 = "db".into()));
        assert!(differs(|s| drop(s.tags.pop())));
        assert!(differs(|s| s.init.push('\n')));
        assert!(differs(|s| s.logical_id = None));
        assert!(differs(|s| s.attachments.clear()));
        assert!(!differs(|s| s.tags.reverse()));
        assert!(!differs(|s| s.properties = r#"{"n":[1,{"a":null}],"Note":"Collabnix Infrakit 101"}"#.into()));
    }

    #[test]
    fn a_label_is_not_another_spec() {
        let spec = spec();
        let bytes = bytes("web-1", &spec);
        let mut record = Record::parse("web-1", &bytes).unwrap();
        assert!(!record.label(&[]) && !record.label(&[("tier".into(), "web".into())]));
        assert!(record.label(&[("tier".into(), "db".into())]) && record.label(&[("new".into(), "1".into())]));
        let stored = record.to_bytes().unwrap();
        let record = Record::parse("web-1", &stored).unwrap();
        assert!(record.is_made_from(&spec));
        assert!(record.carries(&[("tier".into(), "db".into()), ("infrakit.group".into(), "collabnix".into())]));
        assert!(!record.carries(&[("tier".into(), "web".into())]));
    }

    #[test]
    fn every_beginning_of_a_file_is_torn() {
        let bytes = bytes("web-1", &spec());
        let whole = bytes.len() - "}\n".len();
        for end in 0..=whole {
            assert_eq!(Record::parse("web-1", &bytes[..end]).unwrap_err(), NotAnInstance::Torn, "{end} bytes");
        }
        assert_eq!(Record::parse("web-1", &vec![0; bytes.len()]).unwrap_err(), NotAnInstance::Torn);
        assert_eq!(Record::parse("web-1", b"\xff\xfe{}").unwrap_err(), NotAnInstance::Torn);
        assert_eq!(Record::parse("web-1", &[&bytes[..], b"{"].concat()).unwrap_err(), NotAnInstance::Torn);
    }

    #[test]
    fn other_json_is_foreign() {
        let own = String::from_utf8(bytes("web-1", &spec())).unwrap();
        let newer = own.replace("instance-file/1", "instance-file/2");
        let cases = ["null", "[]", "{}", "42", r#"{"ID":"web-1"}"#, r#"{"Format":7,"ID":"web-1"}"#, &newer];
        for text in cases {
            let found = Record::parse("web-1", text.as_bytes()).unwrap_err();
            assert!(matches!(found, NotAnInstance::Foreign(_)), "{text}: {found:?}");
        }
        let NotAnInstance::Foreign(why) = Record::parse("web-2", own.as_bytes()).unwrap_err() else { panic!("torn") };
        assert!(why.contains("`web-1`"), "{why}");
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_counts() {
        let deep = "[".repeat(200_000);
        assert_eq!(Record::parse("a", deep.as_bytes()).unwrap_err(), NotAnInstance::Torn);
        let closed = format!("{deep}{}", "]".repeat(200_000));
        assert!(Record::parse("a", closed.as_bytes()).is_err());
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let big = InstanceSpec { init: "x".repeat(MAX_FILE), ..spec() };
        let error = Record::new("a", &big).unwrap().to_bytes().unwrap_err();
        assert_eq!(error.path.as_deref(), Some(""));
    }
}
