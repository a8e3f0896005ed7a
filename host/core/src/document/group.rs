//! Groups, and the forms in which a document holds them.

use std::collections::{BTreeMap, HashMap};

use super::decode::{At, Decoder, quoted};
use super::node::{Kind, Node};
use super::suggest::nearest;
use super::{Role, Use, plugin, policy};
use crate::spec::{Allocation, GroupProperties, GroupSpec, MAX_GROUP_SIZE, PluginUse, Stack, valid_group_id};

const STACK: [&str; 2] = ["Plugins", "Groups"];
const WRAPPER: [&str; 2] = ["Plugin", "Properties"];
const GENERIC: [&str; 7] = ["kind", "version", "metadata", "properties", "options", "template", "depends"];
const GROUP: [&str; 2] = ["ID", "Properties"];
const PROPERTIES: [&str; 6] = ["Allocation", "Instance", "Flavor", "Updating", "Healing", "Removal"];
const ALLOCATION: [&str; 2] = ["Size", "LogicalIDs"];
const PLUGIN_USE: [&str; 3] = ["Plugin", "Properties", "Digest"];

/// The longest logical id, in bytes: it becomes a tag's value, and providers allow some 128 to 256.
const MAX_LOGICAL_ID: usize = 128;

const FORMS: &str = "a group ({\"ID\", \"Properties\"}), a list of groups, or a stack ({\"Plugins\", \"Groups\"})";

/// Where a field belongs that stands in the wrong place, for the help of an unknown field.
pub(super) fn belongs(field: &str, known: &[&str]) -> Option<&'static str> {
    let place = |names: &[&str], place| (names.contains(&field) && names != known).then_some(place);
    place(&ALLOCATION, "\"Allocation\"")
        .or_else(|| policy::belongs(field, known))
        .or_else(|| place(&PROPERTIES, "the \"Properties\" of the group"))
        .or_else(|| place(&["ID"], "the group, beside its \"Properties\""))
        .or_else(|| place(&STACK, "the top of the document"))
        .or_else(|| {
            place(
                &["Grants", "Limits", "Path", "Sha256"],
                "the plugin's entry in \"Plugins\", at the top of the document",
            )
        })
        .or_else(|| place(&["Options"], "nothing here: a plugin is configured where it is registered, in \"Plugins\""))
}

/// A group that was decoded, as far as it could be.
struct Found {
    group: GroupSpec,
    properties: String,
}

/// What a document has collected.
#[derive(Default)]
struct Groups {
    found: Vec<Found>,
    /// The plugins that groups use, also those of groups that are wrong elsewhere.
    uses: Vec<Use>,
    /// The line on which each id first occurs.
    lines: HashMap<String, u32>,
}

/// What a document declares, as far as it could be decoded.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) stack: Stack,
    /// For each group, the pointer of its `Properties`.
    pub(super) pointers: Vec<String>,
    pub(super) uses: Vec<Use>,
}

/// Decode a whole document, of whatever form.
pub(super) fn root(decoder: &mut Decoder<'_>, at: &At<'_>) -> Declared {
    let mut groups = Groups::default();
    let mut plugins = BTreeMap::new();
    match &at.node.kind {
        Kind::Null => {
            decoder.error(at, format!("the document is empty; expected {FORMS}"));
        }
        Kind::Array(items) if items.is_empty() => {
            decoder.error(at, "the list is empty; expected at least one group");
        }
        Kind::Array(_) => {
            for item in at.items() {
                groups.any(decoder, &item);
            }
        }
        Kind::Object(members) if members.is_empty() => {
            decoder.error(at, format!("the object is empty; expected {FORMS}"));
        }
        Kind::Object(_) if is_stack(at.node) => {
            decoder.object(at, "a stack", &STACK);
            if let Some(entries) = at.get("Plugins") {
                plugins = plugin::entries(decoder, &entries);
            }
            match at.get("Groups") {
                Some(list) if matches!(list.node.kind, Kind::Array(_)) => {
                    for item in list.items() {
                        groups.any(decoder, &item);
                    }
                }
                Some(other) => {
                    decoder.expected(&other, "a list of groups");
                }
                None => {}
            }
            let is_empty =
                |name| at.get(name).is_none_or(|at| at.node.members().is_empty() && at.node.items().is_empty());
            if STACK.iter().all(|name| at.node.member(name).is_none() || is_empty(name))
                && !has_near_stack_name(at.node)
            {
                decoder.error(at, "nothing is declared: \"Plugins\" and \"Groups\" are empty");
            }
        }
        Kind::Object(_) => groups.any(decoder, at),
        _ => {
            decoder.expected(at, FORMS);
        }
    }
    let uses = groups.uses;
    let (groups, pointers) = groups.found.into_iter().map(|found| (found.group, found.properties)).unzip();
    Declared { stack: Stack { plugins, groups }, pointers, uses }
}

fn is_stack(node: &Node) -> bool {
    STACK.iter().any(|name| node.member(name).is_some())
        || !node.members().iter().any(|member| ["ID", "Plugin", "Properties", "kind"].contains(&member.key.as_str()))
            && has_near_stack_name(node)
}

fn has_near_stack_name(node: &Node) -> bool {
    let near = |key: &str| nearest(key, ["Plugins", "Groups", "Plugin"]).is_some_and(|name| STACK.contains(&name));
    node.members().iter().any(|member| !STACK.contains(&member.key.as_str()) && near(&member.key))
}

impl Groups {
    /// A group in any of its forms.
    fn any(&mut self, decoder: &mut Decoder<'_>, at: &At<'_>) {
        if !matches!(at.node.kind, Kind::Object(_)) {
            decoder.expected(at, "a group: {\"ID\", \"Properties\"}");
        } else if at.node.member("kind").is_some() {
            self.generic(decoder, at);
        } else if at.node.member("Plugin").is_some() {
            self.wrapped(decoder, at);
        } else if is_stack(at.node) {
            decoder.error(at, "a stack stands alone in a document; only groups may be in a list");
        } else if !GROUP.iter().any(|name| at.node.member(name).is_some())
            && PROPERTIES.iter().any(|name| at.node.member(name).is_some())
        {
            if let Some(error) = decoder.error(at, "these are the \"Properties\" of a group, without the group") {
                error.help = Some("put them into {\"ID\": \"name\", \"Properties\": ...}".into());
            }
        } else {
            self.plain(decoder, at);
        }
    }

    /// InfraKit's `{"Plugin": "group", "Properties": <group>}`.
    fn wrapped(&mut self, decoder: &mut Decoder<'_>, at: &At<'_>) {
        decoder.object(at, "a group", &WRAPPER);
        let Some(name) = decoder.required(at, "Plugin", &WRAPPER, "\"group\"") else { return };
        match decoder.string(&name, "\"group\"") {
            Some("group") => {}
            Some(other) => {
                let message = format!("homeostat has groups only: expected \"group\", found {}", quoted(other));
                decoder.error(&name, message);
                return;
            }
            None => return,
        }
        if let Some(group) = decoder.required(at, "Properties", &WRAPPER, "the group, {\"ID\", \"Properties\"}") {
            self.plain(decoder, &group);
        }
    }

    /// InfraKit's generic spec.
    fn generic(&mut self, decoder: &mut Decoder<'_>, at: &At<'_>) {
        match at.get("kind").map(|kind| (decoder.string(&kind, "\"group\""), kind)) {
            Some((Some("group"), _)) => {}
            Some((Some(other), kind)) => {
                let message = format!("homeostat has groups only: expected \"group\", found {}", quoted(other));
                decoder.error(&kind, message);
                return;
            }
            Some((None, _)) => return,
            None => {
                decoder.error(at, "\"kind\" is empty; expected \"group\"");
                return;
            }
        }
        decoder.object(at, "a group", &GENERIC);
        if let Some(version) = at.get("version") {
            decoder.string(&version, "a version such as \"Group/0.1.1\"");
        }
        // To pass these over would be to do something else than was asked for.
        for (name, why) in [
            (
                "options",
                "homeostat has no start options; a plugin is configured where it is registered, in \"Plugins\"",
            ),
            ("template", "homeostat renders no templates; write the properties out"),
            ("depends", "homeostat has no dependencies between specs"),
        ] {
            if let Some(member) = at.get(name).filter(|member| !is_blank(member.node)) {
                decoder.error_at_key(&member, why);
            }
        }
        let mut id = None;
        if let Some(metadata) = decoder.required(at, "metadata", &GENERIC, "an object with the \"name\" of the group")
            && decoder.object(&metadata, "an object with the \"name\" of the group", &["name", "tags"])
        {
            if let Some(tags) = metadata.get("tags").filter(|tags| !is_blank(tags.node)) {
                decoder.error_at_key(&tags, "a group has no tags of its own");
            }
            if let Some(name) = decoder.required(&metadata, "name", &["name", "tags"], "the id of the group") {
                id = self.id(decoder, &name);
            }
        }
        if let Some(properties) = decoder.required(at, "properties", &GENERIC, "what the group is") {
            self.properties(decoder, id, &properties);
        }
    }

    /// A group as it is.
    fn plain(&mut self, decoder: &mut Decoder<'_>, at: &At<'_>) {
        if !decoder.object(at, "a group: {\"ID\", \"Properties\"}", &GROUP) {
            return;
        }
        let id = decoder.required(at, "ID", &GROUP, "the name of the group").and_then(|id| self.id(decoder, &id));
        if let Some(properties) = decoder.required(at, "Properties", &GROUP, "what the group is") {
            self.properties(decoder, id, &properties);
        }
    }

    fn id(&mut self, decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<String> {
        let id = decoder.string(at, "the name of the group")?;
        if id.trim().is_empty() {
            decoder.error(at, "the ID of the group is blank");
            return None;
        }
        if !valid_group_id(id) {
            let message = format!("{} cannot name a group", quoted(id));
            if let Some(error) = decoder.error(at, message) {
                let rule =
                    "1 to 63 letters (a-z, A-Z), digits, \".\", \"_\" and \"-\", beginning with a letter or a digit";
                error.help = Some(rule.into());
            }
            return None;
        }
        if let Some(line) = self.lines.get(id) {
            let message = format!("there is a group {id:?} already, on line {line}");
            decoder.error(at, message);
            return None;
        }
        self.lines.insert(id.into(), decoder.text.line(at.node.span.start));
        Some(id.into())
    }

    fn properties(&mut self, decoder: &mut Decoder<'_>, id: Option<String>, at: &At<'_>) {
        if !decoder.object(at, "an object with \"Allocation\", \"Instance\" and \"Flavor\"", &PROPERTIES) {
            return;
        }
        let allocation = decoder
            .required(at, "Allocation", &PROPERTIES, "{\"Size\": n} or {\"LogicalIDs\": [...]}")
            .and_then(|at| allocation(decoder, &at));
        let instance = decoder
            .required(at, "Instance", &PROPERTIES, "the plugin that makes the instances")
            .and_then(|at| plugin_use(decoder, &at));
        let flavor = decoder
            .required(at, "Flavor", &PROPERTIES, "the plugin that says what runs on the instances")
            .and_then(|at| plugin_use(decoder, &at));
        let pets = at.get("Allocation").and_then(|at| is_pets(&at));
        let updating = at.get("Updating").map(|at| policy::updating(decoder, &at, pets)).unwrap_or_default();
        let healing = at.get("Healing").map(|at| policy::healing(decoder, &at)).unwrap_or_default();
        let removal = at.get("Removal").map(|at| policy::removal(decoder, &at)).unwrap_or_default();
        for (role, plugin) in [(Role::Instance, &instance), (Role::Flavor, &flavor)] {
            let Some(plugin) = plugin.clone() else { continue };
            let pointer = format!("{}/{}", at.pointer, role.member());
            self.uses.push(Use { role, plugin, pointer, allocation: allocation.clone() });
        }
        if let (Some(id), Some(allocation), Some(instance), Some(flavor)) = (id, allocation, instance, flavor) {
            let properties = GroupProperties { allocation, instance, flavor, updating, healing, removal };
            self.found.push(Found { group: GroupSpec { id, properties }, properties: at.pointer.clone() });
        }
    }
}

fn is_blank(node: &Node) -> bool {
    match &node.kind {
        Kind::Null => true,
        Kind::String(text) => text.is_empty(),
        Kind::Array(items) => items.is_empty(),
        Kind::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn allocation(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Allocation> {
    if !decoder.object(at, "{\"Size\": n} or {\"LogicalIDs\": [...]}", &ALLOCATION) {
        return None;
    }
    match (at.get("Size"), at.get("LogicalIDs")) {
        (Some(size), None) => decoder.whole_number(&size, 0, MAX_GROUP_SIZE).map(Allocation::Size),
        (None, Some(ids)) => logical_ids(decoder, &ids).map(Allocation::LogicalIds),
        (Some(size), Some(ids)) => {
            // InfraKit writes a size of 0 beside logical ids. To take it so would make "scale to 0" of a group of pets a
            // change that is silently passed over.
            let zero = matches!(&size.node.kind, Kind::Number(number) if number.as_u64() == Some(0));
            if let Some(error) = decoder.error_at_key(&size, "both \"Size\" and \"LogicalIDs\" are given; keep one") {
                error.help = zero.then(|| "remove the size: the logical ids say how many there are".into());
            }
            decoder.whole_number(&size, 0, MAX_GROUP_SIZE);
            logical_ids(decoder, &ids);
            None
        }
        (None, None) => {
            let near = |key: &str| nearest(key, ALLOCATION).is_some() && !ALLOCATION.contains(&key);
            if !at.node.members().iter().any(|member| near(&member.key)) {
                decoder.error(at, "neither \"Size\" nor \"LogicalIDs\" is given; one of them is needed");
            }
            None
        }
    }
}

/// Whether the instances are to have identities, also where the allocation is wrong otherwise; none where that is open.
fn is_pets(at: &At<'_>) -> Option<bool> {
    match (at.get("Size"), at.get("LogicalIDs")) {
        (Some(_), None) => Some(false),
        (None, Some(_)) => Some(true),
        _ => None,
    }
}

fn logical_ids(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Vec<String>> {
    let Kind::Array(items) = &at.node.kind else {
        decoder.expected(at, "a list of strings");
        return None;
    };
    if items.len() > MAX_GROUP_SIZE as usize {
        decoder.error(at, format!("{} logical ids are too many: at most {MAX_GROUP_SIZE} are allowed", items.len()));
        return None;
    }
    let mut first: HashMap<&str, u32> = HashMap::new();
    let mut ids = Vec::with_capacity(items.len());
    let mut whole = true;
    for item in at.items() {
        let Some(id) = decoder.string(&item, "a string") else {
            whole = false;
            continue;
        };
        let wrong = if id.trim().is_empty() {
            Some("a logical id is blank".into())
        } else if id.len() > MAX_LOGICAL_ID {
            Some(format!("a logical id of {} bytes; at most {MAX_LOGICAL_ID} are allowed", id.len()))
        } else if id.chars().any(char::is_control) {
            Some(format!("the logical id {} holds a control character", quoted(id)))
        } else if id.trim() != id {
            Some(format!("the logical id {} begins or ends with a blank", quoted(id)))
        } else {
            first.get(id).map(|line| format!("the logical id {} occurs twice; the first is on line {line}", quoted(id)))
        };
        match wrong {
            Some(wrong) => {
                whole = false;
                decoder.error(&item, wrong);
            }
            None => {
                first.insert(id, decoder.text.line(item.node.span.start));
                ids.push(id.to_owned());
            }
        }
    }
    whole.then_some(ids)
}

fn plugin_use(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<PluginUse> {
    if !decoder.object(at, "{\"Plugin\", \"Properties\"}", &PLUGIN_USE) {
        return None;
    }
    let what = "the name of a plugin, or the path of a .wasm file";
    let name_at = decoder.required(at, "Plugin", &PLUGIN_USE, what)?;
    let name = decoder.string(&name_at, what)?;
    if name.trim().is_empty() {
        decoder.error(&name_at, format!("the plugin is blank; expected {what}"));
        return None;
    }
    let plugin = match name.ends_with(".wasm") {
        true => decoder.path_text(&name_at, name)?,
        false => name.to_owned(),
    };
    // What a host exported says which version the instances have. It is the host's to know: it fills it in anew.
    if let Some(digest) = at.get("Digest") {
        plugin::sha256(decoder, &digest);
    }
    // `get` takes null for absent, which is what it is here too.
    let properties = at.get("Properties").map(|properties| properties.node.to_value()).unwrap_or_default();
    Some(PluginUse { plugin, digest: None, properties })
}
