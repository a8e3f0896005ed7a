//! Which instances go when there are too many.
//!
//! In this order: not the host's own; out of date; unhealthy; not ready; then the newest, the oldest, or as the flavor
//! ranks them; then the highest slot. Protected instances do not go at all, and what would bring the available ones below
//! the floor waits.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::report::Waiting;
use super::rollout::Scope;
use super::scene::{Member, Scene};
use crate::observed::Health;
use crate::outcome::DestroyReason;
use crate::spec::VictimOrder;
use crate::step::Drain;

impl<'a> Scene<'a> {
    /// Take so many away.
    pub(super) fn remove_excess(&mut self, excess: usize, scope: Scope) {
        let order = self.desired.spec.properties.removal.order();
        let ranking = self.observed.ranking.as_ref();
        if order == VictimOrder::Plugin && ranking.is_none() {
            self.wait(Waiting::AwaitsRanking { excess });
            return;
        }
        let ranks: HashMap<&str, usize> =
            ranking.into_iter().flatten().enumerate().map(|(rank, id)| (id.as_str(), rank)).collect();
        let mut candidates: Vec<Member<'a>> = Vec::with_capacity(self.living.len());
        for member in self.living.clone() {
            if !member.protected {
                candidates.push(member);
            }
        }
        candidates.sort_by_cached_key(|it| {
            let created = it.instance.created_at_ms.unwrap_or(0);
            let taste = match order {
                VictimOrder::Newest => u64::MAX - created,
                VictimOrder::Oldest => created,
                VictimOrder::Plugin => ranks.get(it.instance.id.as_str()).map_or(u64::MAX, |rank| *rank as u64),
            };
            let unhealthy = it.track.is_some_and(|it| it.health.status == Health::Unhealthy);
            let slot = it.instance.slot().unwrap_or(u32::MAX);
            (it.host, it.current, !unhealthy, it.available, taste, Reverse((slot, it.instance.id.clone())))
        });
        let mut dispensable = self.living.iter().filter(|it| it.available).count().saturating_sub(scope.floor);
        let mut gone: Vec<Member<'a>> = Vec::with_capacity(excess);
        for member in &candidates {
            if gone.len() == excess {
                break;
            }
            if member.available || member.unjudged && scope.floor > 0 {
                if dispensable == 0 {
                    continue;
                }
                dispensable -= 1;
            }
            gone.push(*member);
        }
        if gone.len() < excess {
            let protected: Vec<_> = self.living.iter().filter(|it| it.protected).copied().collect();
            match protected.is_empty() {
                true => self.wait(Waiting::ExcessAwaitsHealth { excess: excess - gone.len(), floor: scope.floor }),
                false => protected.iter().for_each(|it| {
                    self.is_protected(it);
                }),
            }
        }
        for member in &gone {
            self.destroy(member, DestroyReason::Terminate, Drain::Try, None, "there are more than declared");
            self.leave(member, DestroyReason::Terminate);
        }
        let gone: std::collections::HashSet<&str> = gone.iter().map(|it| it.instance.id.as_str()).collect();
        self.living.retain(|it| !gone.contains(it.instance.id.as_str()));
    }
}
