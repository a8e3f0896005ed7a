//! The checks themselves, a file for each part of the contract.

mod chaos;
mod flavor;
mod guard;
mod instance;
mod pages;
mod plan;
mod sandbox;
mod statics;
mod tags;

use crate::catalog::Id;
use crate::kit::Kit;
use crate::outcome::Checked;

/// Carry out a check.
pub(crate) async fn run(kit: &Kit, id: Id) -> Checked {
    match id {
        Id::S1 => statics::is_a_component(kit),
        Id::S2 => statics::exports(kit),
        Id::S3 => statics::imports(kit),
        Id::S4 => statics::manifest(kit),
        Id::S5 => statics::size(kit),
        Id::S6 => statics::unexpected_wasi(kit),
        Id::B1 => sandbox::starts(kit).await,
        Id::B2 => sandbox::describes_itself_the_same(kit).await,
        Id::B3 => sandbox::schema(kit),
        Id::B4 => sandbox::validates(kit).await,
        Id::B5 => guard::no_trap(kit).await,
        Id::B6 => sandbox::without_grants(kit).await,
        Id::B7 => guard::limits(kit).await,
        Id::I1 => instance::listed_as_asked(kit).await,
        Id::I2 => instance::idempotent(kit).await,
        Id::I3 => instance::already_exists(kit).await,
        Id::I4 => instance::destroyed_twice(kit).await,
        Id::I5 => tags::filters(kit).await,
        Id::I6 => pages::complete(kit).await,
        Id::I7 => pages::failed_midway(kit).await,
        Id::I8 => tags::round_trip(kit).await,
        Id::I9 => instance::reads_back_the_same(kit).await,
        Id::I10 => instance::at_once(kit).await,
        Id::I11 => guard::secrets(kit).await,
        Id::I12 => plan::is_empty(kit).await,
        Id::F1 => flavor::prepares_the_same(kit).await,
        Id::F2 => flavor::judges(kit).await,
        Id::F3 => flavor::drains_twice(kit).await,
        Id::F4 => flavor::keeps_tags(kit).await,
        Id::F5 => flavor::orders(kit).await,
        Id::C1 => chaos::provider_fails(kit).await,
        Id::C2 => chaos::cut_off(kit).await,
        Id::C3 => chaos::another_load(kit).await,
        Id::C4 => chaos::clock(kit).await,
        Id::C5 => chaos::error_class(kit).await,
    }
}
