//! Calls of an instance plugin.

use std::collections::HashSet;
use std::sync::Arc;

use homeostat_core::observed::{Finding, Instance, Listing};
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::InstanceSpec;
use homeostat_core::tags::Tags;
use serde_json::Value;
use wasmtime::Store;

use crate::abi::Linked;
use crate::abi::instance::{Guest, ListRequest, Page, Provisioned};
use crate::call::{Fault, Sandbox};
use crate::error::{CallError, CallErrorKind};
use crate::grant::Access;
use crate::state::CallState;
use crate::warm::WarmInstance;

/// Instances asked for on one page.
const PAGE: u32 = 10_000;

/// Names that are asked for in one listing, as the contract bounds it.
const NAMES: usize = 10_000;

/// Instances of one listing; more is taken for a plugin that does not come to an end.
const INSTANCES: usize = 1_000_000;

/// Pages in a row without an instance, while the plugin says that there is more.
const EMPTY_PAGES: u32 = 100;

/// Bytes of the texts of one listing: five hundred for each of a million instances.
const BYTES: usize = 512 << 20;

/// Bytes of a cursor.
const CURSOR: usize = 64 << 10;

/// Findings that are kept; of more, the number is.
const FINDINGS: usize = 1000;

/// An instance plugin. Cheap to clone. Each call gets a fresh instance of the component, under the plugin's limits; one
/// that is dropped midway is stopped. Calls need a tokio runtime with time, and do not block it.
#[derive(Clone)]
pub struct InstancePlugin(Arc<Sandbox>);

/// An instance plugin of which nothing can be changed: it has no function that makes, labels or destroys, and what the guest
/// was granted is read-only for it, whatever the grant says. Otherwise as [`InstancePlugin`].
///
/// ```compile_fail,E0599
/// async fn planning(reader: homeostat_runtime::InstanceReader) {
///     reader.destroy("i", homeostat_core::outcome::DestroyReason::Terminate).await;
/// }
/// ```
#[derive(Clone)]
pub struct InstanceReader(Arc<Sandbox>);

/// Instantiate the component as an instance plugin in this store.
pub(crate) async fn guest(linked: &Linked, store: &mut Store<CallState>) -> Result<Guest, Fault> {
    match linked {
        Linked::Instance(linked) => linked.start(store).await,
        Linked::Flavor(..) => Err(Fault::Nonsense("it is no instance plugin".into())),
    }
}

async fn validate(sandbox: &Arc<Sandbox>, access: Access, properties: &Value) -> Result<(), CallError> {
    let properties = properties.to_string();
    sandbox
        .call("validate", access, |linked, store| {
            Box::pin(async move { guest(linked, store).await?.validate(store, properties).await })
        })
        .await
}

async fn list(
    sandbox: &Arc<Sandbox>,
    access: Access,
    tags: &Tags,
    names: &[String],
    with_properties: bool,
    most: Option<u32>,
) -> Result<Listing, CallError> {
    // Who asks for more has what else there is left out here.
    let asked = if names.len() <= NAMES { names } else { &[] };
    let mut pages = Pages::new(most);
    let mut cursor = None;
    let limit = most.unwrap_or(PAGE);
    loop {
        let request = ListRequest { tags: tags.clone(), names: asked.to_vec(), with_properties, cursor, limit };
        let page = sandbox
            .call("list", access, |linked, store| {
                Box::pin(async move { guest(linked, store).await?.list(store, request).await })
            })
            .await?;
        cursor = pages.add(page).map_err(|what| sandbox.error("list", CallErrorKind::Nonsense(what)))?;
        if cursor.is_none() {
            break;
        }
    }
    let mut listing = pages.finish();
    if !names.is_empty() {
        let names: HashSet<_> = names.iter().collect();
        listing.instances.retain(|instance| names.contains(&instance.name));
    }
    Ok(listing)
}

impl InstanceReader {
    /// As [`InstancePlugin::validate`].
    ///
    /// # Errors
    /// As there.
    pub async fn validate(&self, properties: &Value) -> Result<(), CallError> {
        validate(&self.0, Access::ReadOnly, properties).await
    }

    /// As [`InstancePlugin::list`].
    ///
    /// # Errors
    /// As there.
    pub async fn list(&self, tags: &Tags, with_properties: bool) -> Result<Listing, CallError> {
        list(&self.0, Access::ReadOnly, tags, &[], with_properties, None).await
    }

    /// As [`InstancePlugin::list_named`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_named(&self, tags: &Tags, names: &[String], with_properties: bool) -> Result<Listing, CallError> {
        list(&self.0, Access::ReadOnly, tags, names, with_properties, None).await
    }
}

impl InstancePlugin {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self(sandbox)
    }

    /// The same plugin, of which nothing can be changed.
    pub fn read_only(&self) -> InstanceReader {
        InstanceReader(self.0.clone())
    }

    /// Check properties. No effects.
    ///
    /// # Errors
    /// `InvalidArgument` with a path where they are wrong; any failure of a call.
    pub async fn validate(&self, properties: &Value) -> Result<(), CallError> {
        validate(&self.0, Access::Granted, properties).await
    }

    /// Make one instance; answers with its id. Idempotent by `name`.
    ///
    /// # Errors
    /// The plugin's, as the contract lists them; any failure of a call.
    pub async fn provision(&self, name: &str, spec: &InstanceSpec) -> Result<String, CallError> {
        self.provision_or_find(name, spec).await.map(|it| it.id)
    }

    /// As [`InstancePlugin::provision`], and answers with whether the instance was there already, where the plugin says so.
    ///
    /// # Errors
    /// As there.
    pub async fn provision_or_find(&self, name: &str, spec: &InstanceSpec) -> Result<Provisioned, CallError> {
        let (wanted, spec) = (name.to_owned(), spec.clone());
        let provisioned = self
            .0
            .call("provision", Access::Granted, |linked, store| {
                Box::pin(async move { guest(linked, store).await?.provision(store, wanted, spec).await })
            })
            .await?;
        if provisioned.id.is_empty() {
            let what = format!("the id of the instance made for {name:?} is empty");
            return Err(self.0.error("provision", CallErrorKind::Nonsense(what)));
        }
        Ok(provisioned)
    }

    /// Add tags to an instance, or overwrite those that are there.
    ///
    /// # Errors
    /// `NotFound`, `Unimplemented`, and those of [`InstancePlugin::provision`].
    pub async fn label(&self, id: &str, tags: &Tags) -> Result<(), CallError> {
        let (id, tags) = (id.to_owned(), tags.clone());
        self.0
            .call("label", Access::Granted, |linked, store| {
                Box::pin(async move { guest(linked, store).await?.label(store, id, tags).await })
            })
            .await
    }

    /// Destroy one instance. Succeeds where it is gone already.
    ///
    /// # Errors
    /// The plugin's, as the contract lists them; any failure of a call.
    pub async fn destroy(&self, id: &str, reason: DestroyReason) -> Result<(), CallError> {
        let id = id.to_owned();
        self.0
            .call("destroy", Access::Granted, move |linked, store| {
                Box::pin(async move { guest(linked, store).await?.destroy(store, id, reason).await })
            })
            .await
    }

    /// List the instances that carry all of these tags, over all pages. Each page is a call of its own.
    ///
    /// # Errors
    /// The plugin's; `Nonsense` for an id or a cursor that comes twice, for pages without end, and for more than a
    /// million instances.
    pub async fn list(&self, tags: &Tags, with_properties: bool) -> Result<Listing, CallError> {
        list(&self.0, Access::Granted, tags, &[], with_properties, None).await
    }

    /// As [`InstancePlugin::list`], with so many instances on a page at most (1 or more), and strictly so: for checking
    /// plugins. A host takes what it gets on a page.
    ///
    /// # Errors
    /// As [`InstancePlugin::list`]; `Nonsense` for a page with more.
    pub async fn list_paged(&self, tags: &Tags, with_properties: bool, most: u32) -> Result<Listing, CallError> {
        list(&self.0, Access::Granted, tags, &[], with_properties, Some(most.max(1))).await
    }

    /// Of the instances that carry all of these tags, list those of these names; of no names, all. A plugin whose version of
    /// the contract has no such thing (0.1) is asked for all, and the others are left out here.
    ///
    /// # Errors
    /// As [`InstancePlugin::list`].
    pub async fn list_named(&self, tags: &Tags, names: &[String], with_properties: bool) -> Result<Listing, CallError> {
        list(&self.0, Access::Granted, tags, names, with_properties, None).await
    }

    /// A guest that lives on between calls, on the caller's own thread. For benchmarks; see [`WarmInstance`].
    ///
    /// # Errors
    /// Any failure of a call.
    pub async fn warm(&self) -> Result<WarmInstance, CallError> {
        WarmInstance::new(self.0.clone()).await
    }
}

/// About the bytes of an instance's texts.
fn weight(it: &Instance) -> usize {
    let tags: usize = it.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let addresses: usize = it.addresses.iter().map(String::len).sum();
    it.id.len() + it.name.len() + it.message.len() + tags + addresses
}

/// The pages of a listing, put together with suspicion.
struct Pages {
    /// The most instances on a page, where that is enforced.
    most: Option<u32>,
    listing: Listing,
    ids: HashSet<String>,
    cursors: HashSet<String>,
    empty: u32,
    findings: usize,
    bytes: usize,
}

impl Pages {
    fn new(most: Option<u32>) -> Self {
        Self {
            most,
            listing: Listing { complete: true, ..Listing::default() },
            ids: HashSet::new(),
            cursors: HashSet::new(),
            empty: 0,
            findings: 0,
            bytes: 0,
        }
    }

    /// Add a page; answers with the cursor of the next.
    fn add(&mut self, page: Page) -> Result<Option<String>, String> {
        let Page { instances, next, complete, findings } = page;
        if let Some(most) = self.most.filter(|most| instances.len() > *most as usize) {
            return Err(format!("a page has {} instances, and {most} were asked for at most", instances.len()));
        }
        self.empty = if instances.is_empty() { self.empty + 1 } else { 0 };
        for instance in &instances {
            self.bytes += weight(instance);
            if self.bytes > BYTES {
                return Err(format!("its list has more than {}", homeostat_core::bytes::format(BYTES as u64)));
            }
            if !self.ids.insert(instance.id.clone()) {
                return Err(format!("id {:?} occurs twice", instance.id));
            }
        }
        let listing = &mut self.listing;
        if listing.instances.is_empty() {
            listing.instances = instances;
        } else {
            listing.instances.extend(instances);
        }
        if listing.instances.len() > INSTANCES {
            return Err(format!("it lists more than {INSTANCES} instances"));
        }
        listing.complete &= complete;
        self.findings += findings.len();
        let room = FINDINGS - listing.findings.len();
        listing.findings.extend(findings.into_iter().take(room));
        if let Some(cursor) = &next {
            if cursor.len() > CURSOR {
                return Err(format!("a cursor has {} bytes, and {CURSOR} are allowed", cursor.len()));
            }
            // Smaller pages are so many more.
            let empty_pages = EMPTY_PAGES.saturating_mul(PAGE / self.most.unwrap_or(PAGE).clamp(1, PAGE));
            if self.empty == empty_pages {
                return Err(format!("{empty_pages} pages in a row without an instance, and still a next one"));
            }
            if !self.cursors.insert(cursor.clone()) {
                return Err(format!("the cursor {cursor:.80?} occurs twice: the pages have no end"));
            }
        }
        Ok(next)
    }

    fn finish(mut self) -> Listing {
        let more = self.findings - self.listing.findings.len();
        if more > 0 {
            self.listing.findings.push(Finding { subject: "findings".into(), message: format!("{more} more") });
        }
        self.listing
    }
}
