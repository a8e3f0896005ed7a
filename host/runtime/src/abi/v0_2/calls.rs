//! Each function of a guest of this version, in the model's words.

use homeostat_core::observed::{HealthReport, Instance};
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::Tags;
use wasmtime::Store;

use super::values::{self, answer};
use super::{FlavorPlugin, InstancePlugin, Removal, wit_flavor, wit_instance};
use crate::abi::flavor::Index;
use crate::abi::instance::{ListRequest, Page, Provisioned};
use crate::call::Fault;
use crate::describe::RawDescription;
use crate::state::CallState;

/// What a guest says of itself. Each world has a type of its own for it.
macro_rules! description {
    ($said:expr) => {{
        let said = $said;
        RawDescription {
            name: said.name,
            version: said.version,
            summary: said.summary,
            properties_schema: said.properties_schema,
            properties_example: said.properties_example,
        }
    }};
}

impl InstancePlugin {
    pub(crate) async fn describe(&self, store: &mut Store<CallState>) -> Result<RawDescription, Fault> {
        Ok(description!(self.homeostat_plugin_meta().call_describe_plugin(store).await?))
    }

    pub(crate) async fn validate(&self, store: &mut Store<CallState>, properties: String) -> Result<(), Fault> {
        answer(self.homeostat_plugin_instance().call_validate(store, &properties).await?)
    }

    pub(crate) async fn provision(
        &self,
        store: &mut Store<CallState>,
        name: String,
        spec: InstanceSpec,
    ) -> Result<Provisioned, Fault> {
        let spec = values::spec(spec);
        let made = answer(self.homeostat_plugin_instance().call_provision(store, &name, &spec).await?)?;
        Ok(Provisioned { id: made.id, already_existed: Some(made.already_existed) })
    }

    pub(crate) async fn label(&self, store: &mut Store<CallState>, id: String, tags: Tags) -> Result<(), Fault> {
        answer(self.homeostat_plugin_instance().call_label(store, &id, &values::tags(tags)).await?)
    }

    pub(crate) async fn destroy(
        &self,
        store: &mut Store<CallState>,
        id: String,
        reason: DestroyReason,
    ) -> Result<(), Fault> {
        answer(self.homeostat_plugin_instance().call_destroy(store, &id, values::reason(reason)).await?)
    }

    pub(crate) async fn list(&self, store: &mut Store<CallState>, request: ListRequest) -> Result<Page, Fault> {
        let ListRequest { tags, names, with_properties, cursor, limit } = request;
        let request = wit_instance::ListRequest { tags: values::tags(tags), names, with_properties, cursor, limit };
        values::page_back(answer(self.homeostat_plugin_instance().call_list(store, &request).await?)?)
    }
}

impl FlavorPlugin {
    pub(crate) async fn describe(&self, store: &mut Store<CallState>) -> Result<RawDescription, Fault> {
        Ok(description!(self.homeostat_plugin_meta().call_describe_plugin(store).await?))
    }

    pub(crate) async fn validate(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        allocation: Allocation,
    ) -> Result<(), Fault> {
        let allocation = values::allocation(allocation);
        answer(self.homeostat_plugin_flavor().call_validate(store, &properties, &allocation).await?)
    }

    pub(crate) async fn prepare(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        spec: InstanceSpec,
        allocation: Allocation,
        index: Index,
    ) -> Result<InstanceSpec, Fault> {
        let (spec, allocation) = (values::spec(spec), values::allocation(allocation));
        let index = wit_flavor::Index { group: index.group, sequence: index.sequence };
        let flavor = self.homeostat_plugin_flavor();
        values::spec_back(answer(flavor.call_prepare(store, &properties, &spec, &allocation, &index).await?)?)
    }

    pub(crate) async fn health(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instances: Vec<Instance>,
    ) -> Result<Vec<HealthReport>, Fault> {
        let instances: Vec<_> = instances.into_iter().map(values::instance).collect();
        let reports = answer(self.homeostat_plugin_flavor().call_health(store, &properties, &instances).await?)?;
        Ok(reports.into_iter().map(values::report_back).collect())
    }

    pub(crate) async fn drain(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instance: Instance,
    ) -> Result<(), Fault> {
        answer(self.homeostat_plugin_flavor().call_drain(store, &properties, &values::instance(instance)).await?)
    }
}

impl Removal {
    pub(crate) async fn order(
        &self,
        store: &mut Store<CallState>,
        properties: String,
        instances: Vec<Instance>,
    ) -> Result<Vec<String>, Fault> {
        let instances: Vec<_> = instances.into_iter().map(values::instance).collect();
        answer(self.homeostat_plugin_removal().call_order(store, &properties, &instances).await?)
    }
}
