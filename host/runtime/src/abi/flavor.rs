//! Flavor plugins, whatever version they are of.

use homeostat_core::observed::{HealthReport, Instance};
use homeostat_core::spec::{Allocation, InstanceSpec};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::{Version, either, v0_1, v0_2};
use crate::call::Fault;
use crate::describe::RawDescription;
use crate::state::CallState;

/// Which place in a group an instance fills.
pub(crate) struct Index {
    pub group: String,
    pub sequence: u32,
}

/// A linked component, and its say in which instances go first, where it has one.
pub(crate) enum Linked {
    V0_1((v0_1::FlavorPluginPre<CallState>, Option<v0_1::RemovalPre<CallState>>)),
    V0_2Draft((v0_2::FlavorPluginPre<CallState>, Option<v0_2::RemovalPre<CallState>>)),
}

/// A component that was instantiated in a store.
pub(crate) enum Guest {
    V0_1(v0_1::FlavorPlugin),
    V0_2Draft(v0_2::FlavorPlugin),
}

/// One that was instantiated for its say in which instances go first.
pub(crate) enum Removal {
    V0_1(v0_1::Removal),
    V0_2Draft(v0_2::Removal),
}

impl Linked {
    /// Check its exports against the world: the one with `removal` where that is asked for.
    pub(crate) fn new(version: Version, pre: InstancePre<CallState>, removal: bool) -> wasmtime::Result<Self> {
        Ok(match version {
            Version::V0_1 => {
                let removal = removal.then(|| v0_1::RemovalPre::new(pre.clone())).transpose()?;
                Self::V0_1((v0_1::FlavorPluginPre::new(pre)?, removal))
            }
            Version::V0_2Draft => {
                let removal = removal.then(|| v0_2::RemovalPre::new(pre.clone())).transpose()?;
                Self::V0_2Draft((v0_2::FlavorPluginPre::new(pre)?, removal))
            }
        })
    }

    /// Whether it says which instances go first.
    pub(crate) fn orders_removal(&self) -> bool {
        either!(self, (_, removal) => removal.is_some())
    }

    /// Instantiate it in this store.
    pub(crate) async fn start(&self, store: &mut Store<CallState>) -> Result<Guest, Fault> {
        match self {
            Self::V0_1((pre, _)) => pre.instantiate_async(store).await.map(Guest::V0_1),
            Self::V0_2Draft((pre, _)) => pre.instantiate_async(store).await.map(Guest::V0_2Draft),
        }
        .map_err(Fault::Instantiate)
    }

    /// Instantiate it in this store for its say in which instances go first; none where it has none.
    pub(crate) async fn start_removal(&self, store: &mut Store<CallState>) -> Result<Option<Removal>, Fault> {
        let started = match self {
            Self::V0_1((_, Some(pre))) => pre.instantiate_async(store).await.map(Removal::V0_1),
            Self::V0_2Draft((_, Some(pre))) => pre.instantiate_async(store).await.map(Removal::V0_2Draft),
            Self::V0_1((_, None)) | Self::V0_2Draft((_, None)) => return Ok(None),
        };
        started.map(Some).map_err(Fault::Instantiate)
    }
}

impl Guest {
    pub(crate) async fn describe(&self, store: &mut Store<CallState>) -> Result<RawDescription, Fault> {
        either!(self, it => it.describe(store).await)
    }

    pub(crate) async fn validate(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        allocation: Allocation,
    ) -> Result<(), Fault> {
        either!(self, it => it.validate(store, properties, allocation).await)
    }

    pub(crate) async fn prepare(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        spec: InstanceSpec,
        allocation: Allocation,
        index: Index,
    ) -> Result<InstanceSpec, Fault> {
        either!(self, it => it.prepare(store, properties, spec, allocation, index).await)
    }

    pub(crate) async fn health(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instances: Vec<Instance>,
    ) -> Result<Vec<HealthReport>, Fault> {
        let mut reports = either!(self, it => it.health(store, properties, instances).await)?;
        let output = &store.data().output;
        if output.hides() {
            reports.iter_mut().for_each(|it| output.redact(&mut it.message));
        }
        Ok(reports)
    }

    pub(crate) async fn drain(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instance: Instance,
    ) -> Result<(), Fault> {
        either!(self, it => it.drain(store, properties, instance).await)
    }
}

impl Removal {
    pub(crate) async fn order(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instances: Vec<Instance>,
    ) -> Result<Vec<String>, Fault> {
        either!(self, it => it.order(store, properties, instances).await)
    }
}
