//! Instance plugins, whatever version they are of.

use homeostat_core::observed::{Finding, Instance};
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::InstanceSpec;
use homeostat_core::tags::Tags;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::{Version, either, v0_1, v0_2};
use crate::call::Fault;
use crate::describe::RawDescription;
use crate::state::CallState;

/// What to list.
pub(crate) struct ListRequest {
    pub tags: Tags,
    /// Only these; empty for all. A guest of 0.1 cannot be told, and lists all.
    pub names: Vec<String>,
    pub with_properties: bool,
    pub cursor: Option<String>,
    pub limit: u32,
}

/// One page of a listing.
pub(crate) struct Page {
    pub instances: Vec<Instance>,
    pub next: Option<String>,
    pub complete: bool,
    pub findings: Vec<Finding>,
}

/// The instance of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// The provider's id.
    pub id: String,
    /// Whether it was there before the call; none where the plugin's version of the contract does not say (0.1).
    pub already_existed: Option<bool>,
}

/// A linked component.
pub(crate) enum Linked {
    V0_1(v0_1::InstancePluginPre<CallState>),
    V0_2Draft(v0_2::InstancePluginPre<CallState>),
}

/// A component that was instantiated in a store.
pub(crate) enum Guest {
    V0_1(v0_1::InstancePlugin),
    V0_2Draft(v0_2::InstancePlugin),
}

impl Linked {
    /// Check its exports against the world.
    pub(crate) fn new(version: Version, pre: InstancePre<CallState>) -> wasmtime::Result<Self> {
        match version {
            Version::V0_1 => v0_1::InstancePluginPre::new(pre).map(Self::V0_1),
            Version::V0_2Draft => v0_2::InstancePluginPre::new(pre).map(Self::V0_2Draft),
        }
    }

    /// Instantiate it in this store.
    pub(crate) async fn start(&self, store: &mut Store<CallState>) -> Result<Guest, Fault> {
        match self {
            Self::V0_1(pre) => pre.instantiate_async(store).await.map(Guest::V0_1),
            Self::V0_2Draft(pre) => pre.instantiate_async(store).await.map(Guest::V0_2Draft),
        }
        .map_err(Fault::Instantiate)
    }
}

impl Guest {
    pub(crate) async fn describe(&self, store: &mut Store<CallState>) -> Result<RawDescription, Fault> {
        either!(self, it => it.describe(store).await)
    }

    pub(crate) async fn validate(&self, store: &mut Store<CallState>, properties: String) -> Result<(), Fault> {
        either!(self, it => it.validate(store, properties).await)
    }

    pub(crate) async fn provision(
        &self,
        store: &mut Store<CallState>,
        name: String,
        spec: InstanceSpec,
    ) -> Result<Provisioned, Fault> {
        either!(self, it => it.provision(store, name, spec).await)
    }

    pub(crate) async fn label(&self, store: &mut Store<CallState>, id: String, tags: Tags) -> Result<(), Fault> {
        either!(self, it => it.label(store, id, tags).await)
    }

    pub(crate) async fn destroy(
        &self,
        store: &mut Store<CallState>,
        id: String,
        reason: DestroyReason,
    ) -> Result<(), Fault> {
        either!(self, it => it.destroy(store, id, reason).await)
    }

    pub(crate) async fn list(&self, store: &mut Store<CallState>, request: ListRequest) -> Result<Page, Fault> {
        let mut page = either!(self, it => it.list(store, request).await)?;
        let output = &store.data().output;
        if output.hides() {
            let findings = page.findings.iter_mut().map(|it| &mut it.message);
            page.instances.iter_mut().map(|it| &mut it.message).chain(findings).for_each(|text| output.redact(text));
        }
        Ok(page)
    }
}
